"""check_books finds each kind of damage, even what was done behind the database's guards."""

from __future__ import annotations

import pytest
from django.db import connection

from billing.audit import check_books
from billing.models import Invoice
from tests.billing.commands import run
from tests.billing.month import DOLLAR, LATER, NOVEMBER, close, open_house, tenant, use
from usage.models import QuarantinedEvent
from usage.services.quarantine import exclude_quarantined

pytestmark = pytest.mark.django_db

CHECKS = [
    "one_event_per_id",
    "events_are_priced_or_quarantined",
    "withdrawn_events_had_counted",
    "archives_stand_for_their_events",
    "estimates_have_their_events",
    "rollups_equal_a_recount",
    "hours_equal_a_recount",
    "costs_follow_from_prices",
    "prices_do_not_overlap",
    "events_are_on_lines",
    "amounts_agree",
    "lines_sell_on_their_terms",
    "discounts_are_taken_as_agreed",
    "minimums_are_charged",
    "zero_rates_have_evidence",
    "dollars_are_the_won",
    "one_invoice_per_month",
    "numbers_are_gapless",
    "guards_stand",
    "ledger_balances",
    "invoices_are_posted",
    "payments_add_up",
    "credits_add_up",
    "credit_notes_add_up",
    "credit_note_documents_hold",
    "tax_amendments_add_up",
    "balances_agree",
    "spending_equals_a_recount",
    "holds_are_of_open_calls",
    "meters_count_open_calls",
    "answered_calls_have_events",
]


@pytest.fixture
def books() -> None:
    """October invoiced for two customers, a late event and one of November, one quarantined."""
    open_house()
    for slug in ("gaon", "second"):
        customer = tenant(slug)
        use(customer, DOLLAR)
        use(customer, DOLLAR, model="acme/cent")
    close()
    use(customer, DOLLAR, at="2026-10-31T12:00:00+09:00", now=LATER)
    use(customer, DOLLAR, model="acme/unknown", now=LATER)


def damage(statement: str) -> None:
    """As somebody with the keys of the database could: no trigger fires."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(statement)
        assert cursor.rowcount != 0
        cursor.execute("SET LOCAL session_replication_role = origin")


def found() -> set[str]:
    return {result.name for result in check_books() if result.violations}


def test_sound_books(books: None) -> None:
    results = check_books()
    assert [result.name for result in results] == CHECKS
    assert [result.violations for result in results if result.violations] == []
    counts = {result.name: result.checked for result in results}
    assert (counts["amounts_agree"], counts["invoices_are_posted"], counts["one_event_per_id"]) == (2, 2, 6)
    assert counts["numbers_are_gapless"] == 1


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "DELETE FROM usage_event WHERE event_id LIKE 'gaon-acme/cent%'",
            {"one_event_per_id", "rollups_equal_a_recount", "hours_equal_a_recount"},
        ),
        ("DELETE FROM usage_quarantinedevent", {"events_are_priced_or_quarantined"}),
        (
            "UPDATE usage_event SET cost_usd = cost_usd * 2 WHERE event_id LIKE 'gaon-acme/cent%'",
            {"rollups_equal_a_recount", "hours_equal_a_recount", "costs_follow_from_prices"},
        ),
        (
            "UPDATE usage_usagerollup SET requests = requests + 1 WHERE billing_month = '2026-10-01'",
            {"rollups_equal_a_recount", "events_are_on_lines"},
        ),
        ("UPDATE billing_invoiceline SET amount_krw = amount_krw + 1", {"amounts_agree"}),
        ("UPDATE billing_invoiceline SET requests = requests + 1", {"events_are_on_lines"}),
        ("UPDATE billing_invoice SET margin = 0.2", {"amounts_agree"}),
        (
            "UPDATE billing_invoice SET supply_krw = supply_krw + 1, total_krw = total_krw + 1",
            {"amounts_agree", "invoices_are_posted", "balances_agree"},
        ),
        (
            "UPDATE billing_taxinvoice SET supply_krw = supply_krw - 1, vat_krw = vat_krw + 1",
            {"amounts_agree"},
        ),
        ("DELETE FROM billing_taxinvoice", {"amounts_agree"}),
        (
            "UPDATE billing_invoice SET number = 'INV-202610-0009' WHERE number = 'INV-202610-0002'",
            {"amounts_agree", "numbers_are_gapless"},
        ),
        ("UPDATE billing_numbersequence SET last_number = 5", {"numbers_are_gapless"}),
        ("ALTER TABLE usage_event DISABLE TRIGGER rows_are_never_changed", {"guards_stand"}),
        ("ALTER TABLE billing_ledgerentry DISABLE TRIGGER ALL", {"guards_stand"}),
        (
            "UPDATE billing_ledgerentry SET amount = amount + 1 WHERE account = 'revenue'",
            {"ledger_balances", "invoices_are_posted"},
        ),
        (
            "DELETE FROM billing_ledgerentry",
            {"invoices_are_posted", "balances_agree", "spending_equals_a_recount"},
        ),
        ("UPDATE billing_spendingaccount SET receivable_krw = receivable_krw - 1", {"spending_equals_a_recount"}),
        ("UPDATE billing_spendingaccount SET unbilled_usd = unbilled_usd + 1", {"spending_equals_a_recount"}),
        ("UPDATE billing_spendingaccount SET held_krw = held_krw + 1", {"holds_are_of_open_calls"}),
        ("DELETE FROM billing_spendingaccount", {"spending_equals_a_recount"}),
    ],
)  # fmt: skip
def test_each_damage_is_found(books: None, statement: str, expected: set[str]) -> None:
    damage(statement)
    assert found() == expected


def test_the_command_exits_with_1_on_a_violation(books: None) -> None:
    code, answer = run("check_books")
    assert (code, answer["ok"]) == (0, True)
    damage("UPDATE billing_invoiceline SET requests = requests + 1")
    code, answer = run("check_books")
    assert (code, answer["ok"]) == (1, False)
    assert {check["name"]: check["violations"] for check in answer["checks"] if check["violations"]} == {
        "events_are_on_lines": 4
    }


def test_books_stay_sound_over_two_months(books: None) -> None:
    exclude_quarantined(event=QuarantinedEvent.objects.get(), actor="test", reason="not ours", now=LATER)
    close(NOVEMBER, now=LATER)
    assert found() == set()
    assert list(Invoice.objects.order_by("number").values_list("number", flat=True)) == [
        "INV-202610-0001", "INV-202610-0002", "INV-202611-0001",
    ]  # fmt: skip
