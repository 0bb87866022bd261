"""Whose key a call carries, remembered for a few seconds."""

from __future__ import annotations

import hashlib
import time
from datetime import datetime

from accounts.models import ApiKey
from accounts.selectors import find_api_key
from gateway.calls import Caller, CallRefused

#: A revoked key stops at once all the same: the admission asks the database for its state.
_REMEMBERED_SECONDS = 5.0
_MAX_REMEMBERED = 10_000
_known: dict[bytes, tuple[float, Caller | None]] = {}


def find_caller(key_text: str, *, now: datetime) -> Caller:
    """The customer's key that this is. Raises CallRefused (401) for whatever cannot call: unknown, revoked, expired, or an
    ingest key. One query at the first call of a key; keys that nobody has are remembered as well.
    """
    digest = hashlib.sha256(key_text.encode("utf-8", "surrogatepass")).digest()
    clock = time.monotonic()
    remembered = _known.get(digest)
    if remembered is not None and remembered[0] > clock:
        caller = remembered[1]
    else:
        caller = _look_up(key_text, now)
        if len(_known) >= _MAX_REMEMBERED:
            _known.clear()
        _known[digest] = (clock + _REMEMBERED_SECONDS, caller)
    if caller is None:
        raise unauthorized()
    return caller


def forget_callers() -> None:
    """Ask the database again for every key."""
    _known.clear()


def unauthorized() -> CallRefused:
    """401: the same for a key that is unknown, revoked or expired."""
    return CallRefused(401, "authentication", "No API key of ours that may call was sent.")


def _look_up(key_text: str, now: datetime) -> Caller | None:
    key = find_api_key(key_text)
    if key is None or key.customer is None or key.scope != ApiKey.Scope.CUSTOMER or not key.is_usable(at=now):
        return None
    return Caller(key.customer.pk, key.customer.slug, key.pk, key.prefix)
