"""Who pays for an event: the customer it names, or the one whose API key made the call."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import msgspec
from django.db import transaction

from accounts.models import ApiKey, Customer
from accounts.selectors import key_digest, peppers
from accounts.services import KEY_PREFIX_CHARS
from usage.events import EventRefused


class NamesPayer(Protocol):
    """An event, as far as it says who pays: at least one of the slug and the key (whole, or its prefix)."""

    @property
    def event_id(self) -> str: ...
    @property
    def customer(self) -> str | None: ...
    @property
    def api_key(self) -> str | None: ...


class Payer(msgspec.Struct, frozen=True, gc=False):
    """Primary keys of the customer that is billed and of the key that called, where the event names one."""

    customer_id: int
    api_key_id: int | None


class _Key(NamedTuple):
    """What a key's row says of who pays."""

    prefix: str
    pk: int
    customer_id: int | None
    pepper_version: int
    digest: bytes


#: Names stay with their payers (a trigger of accounts' migration 0006), so this process remembers whom it has read.
_MAX_REMEMBERED = 100_000
_customers: dict[str, int] = {}
_keys: dict[str, _Key] = {}


def forget_payers() -> None:
    """Ask the database again for every name."""
    _customers.clear()
    _keys.clear()


def _customers_named(slugs: set[str]) -> dict[str, int]:
    found = {slug: _customers[slug] for slug in slugs if slug in _customers}
    missing = slugs - found.keys()
    if missing:
        read = dict(Customer.objects.filter(slug__in=missing).values_list("slug", "pk"))
        transaction.on_commit(partial(_remember, _customers, read))
        found |= read
    return found


def _keys_of(prefixes: set[str]) -> dict[str, _Key]:
    found = {prefix: _keys[prefix] for prefix in prefixes if prefix in _keys}
    missing = prefixes - found.keys()
    if missing:
        rows = ApiKey.objects.filter(prefix__in=missing).order_by()
        columns = ("prefix", "pk", "customer_id", "pepper_version", "digest")
        read = {
            prefix: _Key(prefix, pk, customer_id, version, bytes(digest))
            for prefix, pk, customer_id, version, digest in rows.values_list(*columns)
        }
        transaction.on_commit(partial(_remember, _keys, read))
        found |= read
    return found


def _remember(kept: dict[str, Any], read: dict[str, Any]) -> None:
    """Not before the commit: a row of a transaction that is rolled back does not exist."""
    if len(kept) + len(read) > _MAX_REMEMBERED:
        kept.clear()
    kept.update(read)


class Payers:
    """The customers and keys that a batch names, read at once where they are not known; then one answer per event.

    Suspended customers and revoked or expired keys count: what was consumed is billed, whoever may call by now.
    """

    def __init__(self, drafts: Sequence[NamesPayer]) -> None:
        self._payers: dict[tuple[str | None, str | None], Payer] = {}
        slugs = {draft.customer for draft in drafts if draft.customer is not None}
        prefixes = {draft.api_key[:KEY_PREFIX_CHARS] for draft in drafts if draft.api_key is not None}
        self._customers = _customers_named(slugs)
        self._keys = _keys_of(prefixes)
        self._peppers = peppers() if prefixes else {}

    def of(self, draft: NamesPayer) -> Payer:
        """The payer of one of these events. Raises EventRefused naming `customer` or `api_key`."""
        named = (draft.customer, draft.api_key)
        payer = self._payers.get(named)
        if payer is None:
            payer = self._payers[named] = self._payer(draft)
        return payer

    def _payer(self, draft: NamesPayer) -> Payer:
        customer_id = None
        if draft.customer is not None:
            customer_id = self._customers.get(draft.customer)
            if customer_id is None:
                raise EventRefused("customer", "is nobody's name here", draft.event_id)
        if draft.api_key is None:
            assert customer_id is not None  # a draft names one of the two
            return Payer(customer_id, None)
        key = self._key(draft.api_key)
        if key is None:
            raise EventRefused("api_key", "is no key that is known here", draft.event_id)
        if key.customer_id is None:
            raise EventRefused("api_key", "is an ingest key: it belongs to no customer", draft.event_id)
        if customer_id is not None and customer_id != key.customer_id:
            raise EventRefused("api_key", "belongs to another customer than the event names", draft.event_id)
        return Payer(key.customer_id, key.pk)

    def _key(self, text: str) -> _Key | None:
        """The key of a prefix, or of a whole key whose digest is right."""
        key = self._keys.get(text[:KEY_PREFIX_CHARS])
        if key is None:
            return None
        if text != key.prefix:
            pepper = self._peppers.get(key.pepper_version)
            if pepper is None or not hmac.compare_digest(key_digest(text, pepper=pepper), bytes(key.digest)):
                return None
        return key
