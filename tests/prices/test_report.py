"""The price-change report: old, new, percent, and whom it meets by what was last invoiced."""

from __future__ import annotations

import io
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command

from billing.models import Invoice
from billing.selectors.price_changes import report_changes
from catalog.models import PriceChange
from catalog.services import approve_price_change, sync_catalog
from tests.billing.commands import run
from tests.billing.factories import ACTOR
from tests.billing.month import DOLLAR, LATER, NOVEMBER, NOW, close, listing, open_house, tenant, use

pytestmark = pytest.mark.django_db


def move(**prices: str) -> None:
    """Sync the house's catalog at NOW with other prices."""
    body = listing(**({"dollar": "0.000001", "cent": "0.00000001", "free": "0", "router": "-1"} | prices))
    sync_catalog(body=body, source="test 2", at=NOW, now=NOW, actor=ACTOR, approval_percent=Decimal(50))


def test_whom_a_change_meets_and_with_how_many_won() -> None:
    open_house()
    big, small, other = tenant("big"), tenant("small"), tenant("other")
    use(big, 1000 * DOLLAR)
    use(big, 100 * DOLLAR, model="acme/cent")
    use(small, 10 * DOLLAR)
    use(other, 100 * DOLLAR, model="acme/cent")
    close()
    move(dollar="0.0000012", cent="0.00000003")

    dollar, cent = report_changes(PriceChange.objects.order_by("pk"))

    # USD 1,000 and 10 at 1,400 / 0.85; USD 1 each of the other model, 1,647 won of which big's invoice rounds as a whole.
    assert dollar.as_dict() == {
        "id": dollar.change.pk,
        "model": "acme/dollar",
        "status": "applied",
        "effective_at": "2026-11-02T01:00:00+00:00",
        "percent": "20",
        "percents": {"prompt": "20"},
        "old": {"kind": "listed", "components": {"prompt": "0.000001", "completion": "0"}, "overrides": []},
        "new": {"kind": "listed", "components": {"prompt": "0.0000012", "completion": "0"}, "overrides": []},
        "month": "2026-10",
        "customers": [{"customer": "big", "supply_krw": 1_647_059}, {"customer": "small", "supply_krw": 16_471}],
        "supply_krw": 1_663_530,
        "source": "test 2",
        "created_by": ACTOR,
        "decided_by": "",
        "reason": "",
    }
    assert (cent.change.status, [one.slug for one in cent.customers], cent.supply_krw) == (
        "awaiting_approval",
        ["big", "other"],
        3294,
    )


def test_void_invoices_and_drafts_meet_nobody() -> None:
    open_house()
    use(tenant("gaon"), 1000 * DOLLAR)
    close()
    Invoice.objects.update(status="void")
    move(dollar="0.0000012")

    (report,) = report_changes(PriceChange.objects.all())

    assert (report.month, report.customers, report.supply_krw) == (None, (), 0)


def test_the_last_month_that_was_invoiced_counts() -> None:
    open_house()
    gaon = tenant("gaon")
    use(gaon, 1000 * DOLLAR)
    close()
    use(gaon, 2 * DOLLAR, at="2026-11-03T00:00:00+09:00", now=LATER)
    close(NOVEMBER, now=LATER)
    move(dollar="0.0000012")

    (report,) = report_changes(PriceChange.objects.all())

    assert (str(report.month), report.supply_krw) == ("2026-11", 3294)


def test_the_command() -> None:
    open_house()
    use(tenant("gaon"), 1000 * DOLLAR)
    close()
    move(dollar="0.0000012", cent="0.00000003")

    code, answer = run("price_changes", "--since", "2026-11-01")

    assert (code, answer["since"]) == (0, "2026-11-01")
    assert {(row["model"], row["status"], row["percent"]) for row in answer["changes"]} == {
        ("acme/dollar", "applied", "20"),
        ("acme/cent", "awaiting_approval", "200"),
    }
    # What waits is always shown; what is older than asked for is not.
    late = (NOW + timedelta(days=1)).date().isoformat()
    assert [row["model"] for row in run("price_changes", "--since", late)[1]["changes"]] == ["acme/cent"]
    assert run("price_changes", "--since", late, "--status", "applied")[1]["changes"] == []
    for option, value in (("--since", "yesterday"), ("--status", "maybe")):
        code, answer = run("price_changes", option, value)
        assert (code, answer["error"]["field"]) == (2, option.strip("-"))

    approve_price_change(
        change=PriceChange.objects.get(status="awaiting_approval"), actor="kim", reason="right", now=LATER
    )
    out = io.StringIO()
    call_command("price_changes", "--since", "2026-11-01", stdout=out)
    assert "acme/dollar  20 %  applied" in out.getvalue()
    assert "prompt                0.000001 -> 0.0000012" in out.getvalue()
    assert "1 customers, 1,647,059 won in 2026-10" in out.getvalue()
    assert "acme/cent  200 %  applied" in out.getvalue()
