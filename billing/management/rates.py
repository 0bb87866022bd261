"""Exchange rates as commands print them."""

from __future__ import annotations

from typing import Any

from billing.models import ExchangeRate
from catalog.money import decimal_text


def rate_dict(row: ExchangeRate) -> dict[str, Any]:
    """A stored row as JSON; the rate is decimal text."""
    return {
        "id": row.pk,
        "date": row.rate_on.isoformat(),
        "rate": decimal_text(row.rate),
        "source": row.source,
        "reason": row.reason,
        "actor": row.actor,
        "created_at": row.created_at.isoformat(),
    }
