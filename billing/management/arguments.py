"""Reading what people type after a command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal

from accounts.errors import DomainError, InvalidInput, NotFound
from catalog.models import Provider
from catalog.money import parse_decimal
from usage.periods import BillingMonth

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
#: What an operator types for an argument of a service that is called otherwise.
_TYPED = {
    "effective_from": "from",
    "effective_to": "to",
    "valid_from": "from",
    "expires_on": "expires",
    "amount_krw": "amount",
    "models": "model",
    "received_at": "at",
    "received_usd": "amount",
    "amendment_code": "code",
}
#: A day of an earlier year is a slip of the finger, as a month is.
_FIRST_YEAR = 2000
_MOST_ACTOR = 200


def read_day(text: str, *, field: str) -> date:
    """A calendar day from 2000 on, written YYYY-MM-DD; InvalidInput naming the field otherwise."""
    if _DAY.fullmatch(text):
        try:
            day = date.fromisoformat(text)
        except ValueError:
            pass
        else:
            if day.year < _FIRST_YEAR:
                raise InvalidInput(f"{field}: a day from {_FIRST_YEAR} on, not {text}", field=field)
            return day
    raise InvalidInput(f"{field}: not a day written as YYYY-MM-DD: {text[:40]!r}", field=field)


def read_month(text: str) -> BillingMonth:
    """A month written YYYY-MM; InvalidInput naming `month` otherwise."""
    try:
        return BillingMonth.parse(text)
    except ValueError as error:
        raise InvalidInput(str(error), field="month") from None


def read_decimal(text: str, *, field: str) -> Decimal:
    """A plain decimal number; InvalidInput naming the field otherwise."""
    try:
        return parse_decimal(text, field=field)
    except ValueError as error:
        raise InvalidInput(str(error), field=field) from None


def read_actor(text: str) -> str:
    """Who does it, as the audit trail keeps it: 1 to 200 characters; InvalidInput naming `actor` otherwise."""
    actor = text.strip()
    if not actor or len(actor) > _MOST_ACTOR:
        raise InvalidInput(f"actor: who does it, 1 to {_MOST_ACTOR} characters", field="actor")
    return actor


def named_provider(slug: str) -> Provider:
    """The provider with that slug; NotFound otherwise."""
    provider = Provider.objects.filter(slug=slug).first()
    if provider is None:
        raise NotFound(f"there is no provider {slug!r}", field="provider")
    return provider


@contextmanager
def naming_options() -> Iterator[None]:
    """Let the refusals of a service name what was typed: `from` rather than `effective_from`."""
    try:
        yield
    except DomainError as refusal:
        field = refusal.field or ""
        if field not in _TYPED:
            raise
        message = refusal.message
        if message.startswith(f"{field}: "):
            message = _TYPED[field] + message.removeprefix(field)
        raise type(refusal)(message, field=_TYPED[field], **refusal.data) from None
