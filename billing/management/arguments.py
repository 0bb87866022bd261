"""Reading what people type after a command."""

from __future__ import annotations

import re
from datetime import date

from accounts.errors import InvalidInput
from usage.periods import BillingMonth

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


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
