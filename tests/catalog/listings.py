"""Small listings, and the state of the catalog's tables down to the row version."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from django.db import connection

from catalog.models import Price
from catalog.services import SyncReport, sync_catalog

MAY = datetime(2026, 5, 12, tzinfo=UTC)
JUNE = datetime(2026, 6, 6, tzinfo=UTC)
JULY = datetime(2026, 7, 17, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)

TABLES = (
    "catalog_provider",
    "catalog_model",
    "catalog_modelalias",
    "catalog_price",
    "catalog_pricechange",
    "catalog_catalogsync",
    "accounts_auditentry",
)


def entry(model_id: str, prompt: str = "0.000003", completion: str = "0.000015", **more: Any) -> dict[str, Any]:
    """One model of a listing; `pricing=` replaces the whole price object, other keywords add fields."""
    return {
        "id": model_id,
        "canonical_slug": model_id,
        "name": model_id,
        "pricing": {"prompt": prompt, "completion": completion},
        **more,
    }


def listing(*entries: dict[str, Any]) -> bytes:
    """The body of a `/models` answer."""
    return json.dumps({"data": entries}).encode()


def sync(*entries: dict[str, Any], at: datetime = MAY, **options: Any) -> SyncReport:
    """Sync a small listing."""
    return sync_body(listing(*entries), at=at, **options)


def sync_body(body: bytes, *, at: datetime = MAY, **options: Any) -> SyncReport:
    """Sync a body as it is; nothing waits for approval unless an `approval_percent` is given."""
    return sync_catalog(body=body, source="test", at=at, actor="tester", **{"now": NOW, **options})


def counts(report: SyncReport) -> dict[str, int]:
    """The counts of a report that are not 0."""
    return {name: value for name, value in report.as_dict().items() if type(value) is int and value}


def history(model_id: str) -> list[tuple[str, datetime, datetime | None, dict[str, str]]]:
    """A model's intervals, oldest first: kind, from, to, components."""
    prices = Price.objects.filter(model__model_id=model_id).order_by("effective_from")
    return [(price.kind, price.effective_from, price.effective_to, price.components) for price in prices]


def usd(prompt: str, completion: str = "0.000015") -> dict[str, str]:
    """The components of `entry`."""
    return {"prompt": prompt, "completion": completion}


def row_versions() -> dict[str, list[tuple[str, str]]]:
    """Place and writing transaction of every row: equal only when no row was inserted, updated or deleted."""
    state = {}
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT ctid::text, xmin::text FROM {table} ORDER BY ctid")
            state[table] = cursor.fetchall()
    return state
