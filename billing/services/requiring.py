"""What services of billing ask of their arguments: a reason, won, a share, days. Each refusal names the argument."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from accounts.errors import InvalidInput

#: More won than this are a slip of the finger, and soon more than the database counts.
MOST_WON = 10**15
_MOST_REASON = 300
_SHARE_DECIMALS = 5


def require_reason(reason: str) -> str:
    """The reason, which must be there, at most 300 characters."""
    if not reason.strip():
        raise InvalidInput("this needs a reason", field="reason")
    return require_length(reason, field="reason", most=_MOST_REASON)


def require_length(text: str, *, field: str, most: int) -> str:
    """The text without spaces around it, at most so many characters."""
    text = text.strip()
    if len(text) > most:
        raise InvalidInput(f"{field}: at most {most} characters", field=field)
    return text


def require_won(amount_krw: int) -> None:
    """Some won, and no more than the database counts."""
    if not 0 < amount_krw <= MOST_WON:
        raise InvalidInput(f"amount_krw: more than 0 won, at most {MOST_WON:,}", field="amount_krw")


def require_share(share: Decimal, *, field: str, may_be_zero: bool = False) -> None:
    """A part of the whole, never all of it, with at most five decimals: 0.15 is 15 %."""
    if not share.is_finite() or not 0 <= share < 1 or (share == 0 and not may_be_zero):
        least = "at least 0" if may_be_zero else "above 0"
        raise InvalidInput(f"{field}: {least} and below 1, not {share}", field=field)
    if share != round(share, _SHARE_DECIMALS):
        raise InvalidInput(f"{field}: at most {_SHARE_DECIMALS} decimals", field=field)


def require_first_of_month(day: date, *, field: str, what: str) -> None:
    """The first day of a month, for `what` holds for whole months."""
    if day.day != 1:
        raise InvalidInput(f"{field}: {what} holds for whole months, so this is the first of one", field=field)


def require_days(effective_from: date, effective_to: date | None) -> None:
    """At least one day from the first on and before the end; None: no end yet."""
    if effective_to is not None and effective_to <= effective_from:
        raise InvalidInput("effective_to: after the day on which it begins", field="effective_to")


def require_whole_months(effective_from: date, effective_to: date | None, *, what: str) -> None:
    """At least one month from the one that begins on the first day on and before the one that begins on the end."""
    require_first_of_month(effective_from, field="effective_from", what=what)
    if effective_to is not None:
        require_first_of_month(effective_to, field="effective_to", what=what)
    require_days(effective_from, effective_to)
