"""`/billing/v1/balance` and `/statement`: a customer's own money, as it stands and as it moved."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime

import pytest

from accounts.models import Customer
from billing.services.paying import match_payment
from tests.billing.factories import ACTOR
from tests.billing.money import billed, deposit, grant, plain_house, prepay, spend
from tests.billing.month import NOW, tenant
from tests.usage_api.asking import asked, get, key_of, refused

pytestmark = pytest.mark.django_db

BALANCE, STATEMENT = "/billing/v1/balance", "/billing/v1/statement"
AUTUMN = {"from": "2026-10-01", "to": "2026-11-30"}


@pytest.fixture
def gaon() -> Customer:
    """15,000 paid ahead, 20,000 of usage less 3,000 of 4,000 free credit of one model: 18,700, of which 3,700 are due."""
    customer = plain_house()
    grant(customer, 4_000, models=["acme/cent"])
    prepay(customer, 15_000, at=datetime(2026, 10, 20, 3, tzinfo=UTC))
    spend(customer, 17_000)
    spend(customer, 3_000, model="acme/cent")
    billed(customer)
    return customer


def won(amount: int) -> dict[str, str]:
    return {"amount": str(amount), "currency": "KRW"}


def test_the_balance_says_what_is_owed_ahead_and_free(gaon: Customer) -> None:
    deposit(1_000, customer=gaon)
    secret, _ = key_of(gaon)
    answer = asked(secret, BALANCE)
    assert {name: answer[name] for name in ("receivable", "unapplied", "prepaid", "net")} == {
        "receivable": won(3_700),
        "unapplied": won(1_000),
        "prepaid": won(0),
        "net": won(2_700),
    }
    assert answer["due_invoices"] == [
        {
            "number": "INV-202610-0001",
            "due": won(3_700),
            "due_usd": None,
            "due_on": "2026-11-17",
            "deposit_code": "JS26100001",
        }
    ]
    assert answer["promotional_credits"] == [
        {
            "name": "첫 달 무료",
            "amount": won(4_000),
            "remaining": won(1_000),
            "used": won(3_000),
            "expired": won(0),
            "voided": won(0),
            "valid_from": "2026-10-01",
            "expires_on": "2026-10-31",
            "models": ["acme/cent"],
        }
    ]


def test_the_statement_in_pages_and_as_a_file(gaon: Customer) -> None:
    match_payment(payment=deposit(3_700, name="JS26100001"), actor=ACTOR, now=NOW)
    secret, _ = key_of(gaon)
    whole = asked(secret, STATEMENT, **AUTUMN)
    assert whole["opening"]["net"] == won(0)
    assert [(row["date"], row["kind"], row["charged"]["amount"], row["paid"]["amount"]) for row in whole["rows"]] == [
        ("2026-10-20", "payment_received", "0", "15000"),
        ("2026-10-20", "prepayment_received", "0", "0"),
        ("2026-10-31", "invoice_issued", "18700", "0"),
        ("2026-11-02", "prepayment_applied", "0", "0"),
        ("2026-11-02", "payment_assigned", "0", "3700"),
        ("2026-11-02", "payment_allocated", "0", "0"),
    ]
    assert whole["rows"][-1]["balance"]["net"] == won(0)
    paged, cursor = [], None
    while True:
        page = asked(secret, STATEMENT, **AUTUMN, limit="4", **({"cursor": cursor} if cursor else {}))
        paged += page["rows"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert paged == whole["rows"]
    file = get(secret, f"{STATEMENT}/csv", **AUTUMN)
    assert file.headers["Content-Disposition"] == 'attachment; filename="statement-2026-10-01-2026-11-30.csv"'
    rows = list(csv.DictReader(io.StringIO(file.content.decode("utf-8-sig"))))
    assert [(row["kind"], row["net_krw"]) for row in rows][2:4] == [
        ("invoice_issued", "3700"),
        ("prepayment_applied", "3700"),
    ]
    assert rows[2]["invoice_number"] == "INV-202610-0001"


def test_no_reason_of_an_operator_is_told(gaon: Customer) -> None:
    payment = deposit(500, name="?")
    from billing.services.paying import assign_payment

    assign_payment(payment=payment, customer=gaon, reason="대표가 욕함", actor=ACTOR, now=NOW)
    secret, _ = key_of(gaon)
    for path in (STATEMENT, f"{STATEMENT}/csv", BALANCE):
        assert "욕함" not in get(secret, path).content.decode()


def test_another_customer_sees_its_own_and_nothing_else(gaon: Customer) -> None:
    secret, _ = key_of(tenant("other"))
    assert asked(secret, STATEMENT, **AUTUMN)["rows"] == []
    answer = asked(secret, BALANCE)
    assert (answer["net"], answer["due_invoices"], answer["promotional_credits"]) == (won(0), [], [])


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"from": "2026-13-01"}, "from"),
        ({"from": "2026-11-02", "to": "2026-11-01"}, "to"),
        ({"cursor": "x"}, "cursor"),
        ({"month": "2026-10"}, "month"),
    ],
)
def test_wrong_parameters_are_named(gaon: Customer, params: dict[str, str], field: str) -> None:
    secret, _ = key_of(gaon)
    assert refused(secret, STATEMENT, **params) == (400, "invalid_input", field)


def test_a_cursor_belongs_to_its_days(gaon: Customer) -> None:
    secret, _ = key_of(gaon)
    cursor = asked(secret, STATEMENT, **AUTUMN, limit="1")["next_cursor"]
    other = {"from": "2026-10-02", "to": date(2026, 11, 30).isoformat()}
    assert refused(secret, STATEMENT, **other, cursor=cursor) == (400, "invalid_input", "cursor")
