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
}


def read_day(text: str, *, field: str) -> date:
    """A calendar day written YYYY-MM-DD; InvalidInput naming the field otherwise."""
    if _DAY.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
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
