"""The commands that move money, as an operator types them."""

from __future__ import annotations

from datetime import date

import pytest

from accounts.models import Customer
from billing.models import Payment, PromotionalCredit
from tests.billing.commands import run
from tests.billing.money import billed, plain_house, spend
from tests.billing.month import DOLLAR, open_house, publish, tenant, use

pytestmark = pytest.mark.django_db

AT = ("--at", "2026-11-05T10:00:00+09:00")


@pytest.fixture
def gaon() -> Customer:
    return plain_house()


def test_credit_is_granted_and_taken_back(gaon: Customer) -> None:
    code, answer = run(
        "grant_credit", "gaon", "50000", "--from", "2026-10-01", "--expires", "2026-10-31", "--model", "acme/dollar",
        "--reason", "첫 달",
    )  # fmt: skip
    assert (code, answer["amount_krw"], answer["models"], answer["expires_on"]) == (
        0, 50_000, ["acme/dollar"], "2026-10-31",
    )  # fmt: skip
    assert PromotionalCredit.objects.get().name == "첫 달 무료"
    code, answer = run("void_credit", str(answer["id"]), "--amount", "20000", "--reason", "x")
    assert (code, answer["voided_krw"], answer["remaining_krw"]) == (0, 20_000, 30_000)
    code, answer = run("void_credit", str(answer["id"]), "--amount", "30001", "--reason", "x")
    assert (code, answer["error"]["code"]) == (2, "not_enough_left")
    assert run("void_credit", "999", "--reason", "x")[1]["error"]["code"] == "not_found"
    for amount, options, field in (
        ("0", (), "amount"),
        ("1" + "0" * 19, (), "amount"),
        ("1", ("--from", "2026-11-01"), "expires"),
        ("1", ("--from", "2026-10-01", "--model", "acme/no"), "model"),
        ("1", ("--from", "2026-10-01", "--reason", "x" * 301), "reason"),
    ):
        code, answer = run("grant_credit", "gaon", amount, "--expires", "2026-10-31", "--reason", "x", *options)
        assert (code, answer["error"]["field"]) == (2, field)
    assert PromotionalCredit.objects.count() == 1


def test_a_deposit_is_recorded_matched_and_repeated(gaon: Customer) -> None:
    spend(gaon, 20_000)
    billed(gaon)
    line = ("record_payment", "line-1", "22500", "--depositor", "JS26100001", *AT)
    code, answer = run(*line)
    assert (code, answer["customer"], answer["unapplied_krw"]) == (0, "gaon", 500)
    assert answer["paid"] == [{"invoice": "INV-202610-0001", "amount_krw": 22_000}]
    assert run(*line)[1]["paid"] == []
    assert Payment.objects.count() == 1
    changed = run(*line[:2], "22501", *line[3:])
    assert (changed[0], changed[1]["error"]["code"]) == (2, "already_recorded")


def test_a_top_up_is_kept(gaon: Customer) -> None:
    code, answer = run("record_payment", "line-1", "30000", "--customer", "gaon", "--prepay", *AT)
    assert (code, answer["prepaid_krw"], answer["unapplied_krw"]) == (0, 30_000, 0)
    assert run("record_payment", "line-2", "30000", "--prepay", *AT)[1]["error"]["field"] == "customer"


def test_dollars_are_recorded_and_given_to_the_invoice_that_is_named() -> None:
    """USD 1 of usage is 1,812 won and 1.30 dollars; 2 dollars come at 1,450."""
    open_house()
    publish(date(2026, 11, 4), "1450")
    gaon = tenant(invoice_currency="USD")
    use(gaon, DOLLAR)
    number = billed(gaon).number or ""
    line = ("record_payment", "wire-1", "2.00", "--usd", "--at", "2026-11-05T10:00:00+09:00")
    code, answer = run(*line, "--invoice", number)
    assert (code, answer) == (
        0,
        {
            "id": Payment.objects.get().pk,
            "reference": "wire-1",
            "customer": "gaon",
            "amount_krw": 2_900,
            "received_usd": "2.00",
            "rate_krw_per_usd": "1450",
            "paid": [{"invoice": number, "amount_krw": 1_812, "allocated_usd": "1.30", "exchange_krw": 73}],
            "prepaid_krw": 0,
            "unapplied_krw": 1_015,
            "unapplied_usd": "0.70",
        },
    )
    assert run(*line, "--invoice", number)[1]["paid"] == []
    assert run(*line)[1]["unapplied_usd"] == "0.70"


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("2.00",), "amount"),
        (("2,000",), "amount"),
        (("2.001", "--usd"), "amount"),
        (("9" * 13, "--usd"), "amount"),
        (("9" * 5000,), "amount"),
        (("0.00", "--usd"), "amount"),
        (("2", "--usd", "--customer", "gaon", "--prepay"), "customer"),
        (("0",), "amount"),
        (("2000", "--at", "2036-11-05T10:00:00+09:00"), "at"),
        (("2000", "--at", "1999-11-05T10:00:00+09:00"), "at"),
        (("2", "--usd", "--at", "9999-12-31T23:59:59Z"), "at"),
        (("2000", "--customer", ""), "customer"),
        (("2000", "--invoice", ""), "invoice"),
        (("2000", "--invoice", "INV-202610-0009"), "invoice"),
        (("2000", "--invoice", "INV-202610-0001", "--customer", "other"), "invoice"),
    ],
)
def test_amounts_and_invoices_that_can_not_be_are_named(gaon: Customer, arguments: tuple[str, ...], field: str) -> None:
    spend(gaon, 1_000)
    billed(gaon)
    tenant("other")
    at = "--at=2026-11-05T10:00:00+09:00"
    code, answer = run("record_payment", "wire-1", at, *arguments)
    assert (code, answer["error"]["field"]) == (2, field)
    assert not Payment.objects.exists()
