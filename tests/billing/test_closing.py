"""What a closed month comes to, to the won."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from accounts.services import add_tax_profile
from billing.errors import MonthNotEnded
from billing.models import BillingRun, Invoice, LedgerEntry, MarginRule
from billing.selectors.previews import month_preview
from billing.services.closing import start_run
from billing.services.margins import set_margin
from tests.billing import month
from tests.billing.factories import ACTOR, CORPORATION
from tests.billing.month import DOLLAR, LATER, NOVEMBER, NOW, OCTOBER, close, open_house, outcome, publish, tenant, use
from usage.models import BillingPeriod, QuarantinedEvent
from usage.services.quarantine import exclude_quarantined
from usage.services.rerating import rate_quarantined

pytestmark = pytest.mark.django_db


def amounts(invoice: Invoice) -> tuple[int, int, int]:
    return invoice.supply_krw, invoice.vat_krw, invoice.total_krw


def test_one_dollar_is_1647_165_1812() -> None:
    open_house()
    customer = tenant()
    use(customer, DOLLAR)
    close()
    invoice = Invoice.objects.get()
    assert amounts(invoice) == (1647, 165, 1812)
    assert (invoice.number, invoice.status, invoice.cost_usd) == ("INV-202610-0001", "issued", Decimal(1))
    assert (invoice.exchange_rate, invoice.exchange_evidence["source_date"]) == (Decimal(1400), "2026-10-30")
    assert (invoice.issued_on, invoice.due_on) == (date(2026, 11, 2), date(2026, 11, 17))
    assert invoice.document["deposit_code"] == "JS26100001"


def test_lines_share_one_rounding() -> None:
    """0.5 + 0.01 + 0 dollars: 823.529... + 16.470... -> 840 in all, 824 + 16; the free model stays at 0."""
    open_house()
    customer = tenant()
    use(customer, DOLLAR // 2)
    use(customer, DOLLAR, model="acme/cent")
    use(customer, DOLLAR, model="acme/free")
    close()
    invoice = Invoice.objects.get()
    assert amounts(invoice) == (840, 84, 924)
    assert list(invoice.lines.values_list("model_name", "amount_krw")) == [
        ("acme/cent", 16),
        ("acme/dollar", 824),
        ("acme/free", 0),
    ]


def test_a_customer_that_rounds_down_pays_down() -> None:
    open_house()
    use(tenant(rounding="down"), DOLLAR * 1000)
    close()
    assert amounts(Invoice.objects.get()) == (1_647_058, 164_705, 1_811_763)


def test_contract_rate() -> None:
    open_house(rate=None)
    use(tenant(exchange_rule="fixed", fixed_rate_krw_per_usd=Decimal("1300.5")), DOLLAR)
    close()
    invoice = Invoice.objects.get()
    assert amounts(invoice) == (1530, 153, 1683)  # 1300.5 / 0.85 = 1530 exactly
    assert invoice.exchange_evidence["source_date"] is None


def test_daily_rule_takes_each_days_rate() -> None:
    """Friday's dollar at 1,400, Sunday's at Friday's, Monday's at 1,500: 4,300 / 0.85 = 5,058.8."""
    open_house(rate=None)
    publish(date(2026, 10, 16), "1400")
    publish(date(2026, 10, 19), "1500")
    customer = tenant(exchange_rule="daily")
    for day in (16, 18, 19):
        use(customer, DOLLAR, at=f"2026-10-{day}T12:00:00+09:00")
    close()
    invoice = Invoice.objects.get()
    assert amounts(invoice) == (5059, 506, 5565)
    assert invoice.exchange_rate is None
    assert [(row["day"], row["rate"], row["source_date"]) for row in invoice.exchange_evidence["daily"]] == [
        ("2026-10-16", "1400.0000", "2026-10-16"),
        ("2026-10-18", "1400.0000", "2026-10-16"),
        ("2026-10-19", "1500.0000", "2026-10-19"),
    ]


def test_month_end_rate_is_the_last_one_published_in_time() -> None:
    """31 October 2026 is a Saturday: Friday's rate counts, not the one published in November."""
    open_house(rate=None)
    publish(date(2026, 10, 30), "1410.5")
    publish(date(2026, 11, 2), "1999")
    use(tenant(), DOLLAR)
    close()
    assert Invoice.objects.get().exchange_rate == Decimal("1410.5")


def test_own_margin_before_the_default() -> None:
    open_house()
    customer = tenant()
    set_margin(customer=customer, margin=Decimal("0.3"), effective_from=date(2026, 10, 31), actor=ACTOR)
    use(customer, DOLLAR)
    close()
    assert amounts(Invoice.objects.get()) == (2000, 200, 2200)


def test_the_month_begins_at_korean_midnight() -> None:
    open_house()
    customer = tenant()
    use(customer, DOLLAR, at="2026-09-30T14:59:59.999999Z")
    use(customer, 2 * DOLLAR, at="2026-09-30T15:00:00Z")
    use(customer, 4 * DOLLAR, at="2026-10-31T14:59:59.999999Z")
    use(customer, 8 * DOLLAR, at="2026-10-31T15:00:00Z")
    close()
    assert Invoice.objects.get(month=OCTOBER.first_on).cost_usd == Decimal(6)


def test_preview_equals_the_invoice() -> None:
    open_house()
    customer = tenant()
    for tokens in (123_457, 999_999, 3):
        use(customer, tokens)
        use(customer, tokens, model="acme/cent")
    preview = month_preview(customer, OCTOBER, on=date(2026, 11, 2))
    close()
    invoice = Invoice.objects.get()
    assert preview.bill is not None
    assert preview.problems == ()
    totals = preview.bill.totals
    assert (totals.supply_krw, totals.vat_krw, totals.total_krw) == amounts(invoice)
    assert list(totals.line_amounts_krw) == list(invoice.lines.values_list("amount_krw", flat=True))


def test_repeating_the_close_changes_nothing() -> None:
    open_house()
    use(tenant(), DOLLAR)
    close()
    before = list(Invoice.objects.values()), list(LedgerEntry.objects.values()), list(BillingPeriod.objects.values())
    close(now=LATER)
    after = list(Invoice.objects.values()), list(LedgerEntry.objects.values()), list(BillingPeriod.objects.values())
    assert after == before


def test_a_month_that_has_not_ended_is_refused() -> None:
    with pytest.raises(MonthNotEnded) as refusal:
        start_run(month=OCTOBER, actor=ACTOR, now=datetime(2026, 10, 31, 14, 59, 59, tzinfo=UTC))
    assert refusal.value.field == "month"
    assert not BillingRun.objects.exists()


def test_one_without_a_tax_profile_is_parked_and_the_others_are_billed() -> None:
    open_house()
    nameless, billed = tenant("nameless", profile=False), tenant("billed")
    use(nameless, DOLLAR)
    use(billed, DOLLAR)
    run = close()
    assert outcome(run, nameless) == ("parked", "no_tax_profile")
    assert outcome(run, billed) == ("done", "")
    assert not BillingPeriod.objects.filter(customer=nameless, status="closed").exists()
    add_tax_profile(customer=nameless, valid_from=date(2026, 11, 1), actor=ACTOR, **CORPORATION)
    run = close()
    assert outcome(run, nameless) == ("done", "")
    assert list(Invoice.objects.order_by("number").values_list("customer__slug", "number")) == [
        ("billed", "INV-202610-0001"),
        ("nameless", "INV-202610-0002"),
    ]


@pytest.mark.parametrize(
    ("missing", "code"), [({"rate": None}, "no_exchange_rate"), ({"margin": None}, "no_margin_rule")]
)
def test_without_rate_or_margin_nothing_is_guessed(missing: dict[str, None], code: str) -> None:
    open_house(**missing)
    customer = tenant()
    use(customer, DOLLAR)
    assert outcome(close(), customer) == ("parked", code)
    assert not Invoice.objects.exists()


def test_a_rate_older_than_14_days_is_no_rate() -> None:
    open_house(rate=None)
    publish(date(2026, 10, 16), "1400")  # 15 days before the 31st
    customer = tenant()
    use(customer, DOLLAR)
    assert outcome(close(), customer) == ("parked", "no_exchange_rate")


def test_quarantine_blocks_until_it_is_resolved() -> None:
    open_house()
    customer, other = tenant(), tenant("other")
    use(customer, DOLLAR)
    assert use(customer, DOLLAR, model="acme/new").quarantine_code == "unknown_model"
    assert use(customer, 5, model="acme/router", event_id="r").quarantine_code == "variable_price"
    use(other, DOLLAR)
    run = close()
    assert outcome(run, customer) == ("parked", "quarantined_usage")
    assert outcome(run, other) == ("done", "")
    month.sync_catalog(
        body=month.listing(dollar="0.000001", cent="0.00000001", free="0", router="-1", new="0.000003"),
        source="test",
        at=datetime(2026, 10, 1, tzinfo=UTC),
        actor=ACTOR,
        now=NOW,
    )
    rate_quarantined(actor=ACTOR, now=NOW)
    assert outcome(close(), customer) == ("parked", "quarantined_usage")
    left = QuarantinedEvent.objects.get(status="open")
    exclude_quarantined(event=left, actor=ACTOR, reason="the router reported itself", now=NOW)
    assert outcome(close(), customer) == ("done", "")
    assert Invoice.objects.get(customer=customer).cost_usd == Decimal(4)


def test_late_usage_keeps_its_own_month_and_price() -> None:
    open_house()
    customer = tenant()
    use(customer, DOLLAR)
    close()
    # November's price is double; October's late event still costs October's.
    month.sync_catalog(
        body=month.listing(dollar="0.000002", cent="0.00000001", free="0", router="-1"),
        source="test",
        at=datetime(2026, 10, 31, 15, tzinfo=UTC),
        actor=ACTOR,
        now=NOW,
    )
    use(customer, 3 * DOLLAR, at="2026-10-31T23:59:59+09:00", now=LATER)
    use(customer, DOLLAR, at="2026-11-03T00:00:00+09:00", now=LATER)
    close(NOVEMBER, now=LATER)
    assert Invoice.objects.get(month=OCTOBER.first_on).cost_usd == Decimal(1)
    november = Invoice.objects.get(month=NOVEMBER.first_on)
    assert list(november.lines.values_list("kind", "month", "cost_usd")) == [
        ("supplementary", date(2026, 10, 1), Decimal(3)),
        ("usage", date(2026, 11, 1), Decimal(2)),
    ]
    assert november.supply_krw == 8235  # 5 x 1400 / 0.85


def test_less_than_a_won_is_no_invoice() -> None:
    """USD 0.0003 at 1,400 is 0.494 won."""
    open_house()
    customer, idle = tenant(), tenant("idle", created_at=datetime(2026, 9, 1, tzinfo=UTC))
    use(customer, 300)
    run = close()
    assert not Invoice.objects.exists()
    assert outcome(run, customer) == outcome(run, idle) == ("done", "")
    assert dict(BillingPeriod.objects.values_list("customer__slug", "outcome")) == {
        "gaon": "no_charge",
        "idle": "no_usage",
    }


def test_the_invoice_keeps_what_it_was_issued_with() -> None:
    open_house()
    customer = tenant()
    use(customer, DOLLAR)
    close()
    before = Invoice.objects.get().document
    add_tax_profile(
        customer=customer, valid_from=date(2026, 11, 2), actor=ACTOR, **(CORPORATION | {"name": "새 이름 주식회사"})
    )
    set_margin(customer=None, margin=Decimal("0.5"), effective_from=date(2026, 11, 1), actor=ACTOR)
    publish(date(2026, 10, 30), "1999")
    after = Invoice.objects.get()
    assert after.document == before
    assert after.document["buyer"]["name"] == CORPORATION["name"]
    assert MarginRule.objects.count() == 2


def test_the_ledger_has_the_invoice() -> None:
    open_house()
    use(tenant(), DOLLAR)
    close()
    assert dict(LedgerEntry.objects.values_list("account", "amount")) == {
        "receivable": Decimal(1812),
        "revenue": Decimal(-1647),
        "vat_payable": Decimal(-165),
    }
