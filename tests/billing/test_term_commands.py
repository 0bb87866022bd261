"""Discounts, monthly minimums and zero rating as an operator types them, up to the invoice that has them."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import AuditEntry, Customer
from billing.models import Discount, Invoice, MarginRule, MonthlyMinimum, ZeroRating
from tests.billing.commands import run
from tests.billing.money import amounts, billed, broken_checks, plain_house, prepay, spend
from tests.billing.month import LATER, NOVEMBER, close, tenant

pytestmark = pytest.mark.django_db

EVIDENCE = (
    "--article", "부가가치세법 제24조", "--clause", "시행령 제33조 제2항 제1호", "--reference", "외화입금증명서, 계약철 12",
    "--sha256", "ab" * 32, "--accepted-by", "세무사 김하나",
)  # fmt: skip
WHY = ("--reason", "계약서 3조")
OCTOBER = ("--from", "2026-10-01", *WHY)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    """Sets what commands take for now; 20 September 2026 at first: the terms are agreed before October."""

    def put(now: datetime) -> None:
        monkeypatch.setattr(timezone, "now", lambda: now)

    put(datetime(2026, 9, 20, tzinfo=UTC))
    return put


@pytest.fixture
def gaon(clock: object) -> Customer:
    return plain_house()


def done(name: str, *arguments: str) -> dict[str, Any]:
    code, answer = run(name, *arguments)
    assert code == 0, answer
    return answer


def refused(name: str, *arguments: str) -> tuple[str, str | None, str]:
    code, answer = run(name, *arguments)
    assert code == 2, answer
    return answer["error"]["code"], answer["error"].get("field"), answer["error"]["message"]


def printed(name: str, *arguments: str) -> str:
    output = io.StringIO()
    call_command(name, *arguments, stdout=output)
    return output.getvalue()


# -- Up to the invoice -------------------------------------------------------------------------------------------------
def test_a_share_off_one_model(gaon: Customer) -> None:
    """A tenth of the 40,000 of acme/cent and nothing of the 60,000 of acme/dollar: 96,000."""
    answer = done("add_discount", "gaon", "--share", "0.1", "--model", "acme/cent", "--name", "약정 할인", *OCTOBER)
    row = Discount.objects.get()
    assert answer == {
        "id": row.pk,
        "customer": "gaon",
        "name": "약정 할인",
        "share": "0.1",
        "amount_krw": None,
        "provider": None,
        "models": ["acme/cent"],
        "effective_from": "2026-10-01",
        "effective_to": None,
        "reason": "계약서 3조",
    }
    assert row.actor == "command add_discount"
    spend(gaon, 60_000)
    spend(gaon, 40_000, model="acme/cent")
    invoice = billed(gaon)
    assert amounts(invoice) == (96_000, 9_600, 105_600)
    assert list(invoice.lines.values_list("kind", "model_name", "amount_krw", "discount_krw")) == [
        ("usage", "acme/cent", 40_000, 4_000),
        ("usage", "acme/dollar", 60_000, 0),
        ("discount", "약정 할인", -4_000, 0),
    ]
    assert broken_checks() == {}


def test_won_off_a_provider_until_it_ends(gaon: Customer) -> None:
    """5,000 won off October, nothing off November."""
    agreed = ("--amount", "5000", "--provider", "acme", "--name", "파트너 할인", *OCTOBER)
    answer = done("add_discount", "gaon", *agreed)
    assert (answer["amount_krw"], answer["share"], answer["provider"], answer["models"]) == (5_000, None, "acme", None)
    spend(gaon, 60_000)
    assert amounts(billed(gaon)) == (55_000, 5_500, 60_500)
    answer = done("end_discount", str(answer["id"]), "--to", "2026-11-01", "--reason", "계약 종료")
    assert (answer["name"], answer["effective_to"]) == ("파트너 할인", "2026-11-01")
    spend(gaon, 7_000, at="2026-11-05T12:00:00+09:00")
    assert amounts(billed(gaon, NOVEMBER, now=LATER)) == (7_000, 700, 7_700)
    entries = AuditEntry.objects.filter(action__endswith="_discount").order_by("pk")
    assert list(entries.values_list("actor", "action", "reason")) == [
        ("command add_discount", "add_discount", "계약서 3조"),
        ("command end_discount", "end_discount", "계약 종료"),
    ]
    assert broken_checks() == {}


def test_two_models_and_an_end_from_the_beginning(gaon: Customer) -> None:
    models = ("--model", "acme/dollar", "--model", "acme/cent")
    answer = done(
        "add_discount", "gaon", "--share", "0.12345", *models, "--name", "행사", *OCTOBER, "--to", "2026-11-01"
    )
    assert (answer["share"], answer["models"]) == ("0.12345", ["acme/cent", "acme/dollar"])
    assert answer["effective_to"] == "2026-11-01"
    spend(gaon, 100_000)
    assert amounts(billed(gaon)) == (87_655, 8_766, 96_421)  # VAT of 8,765.5


def test_a_minimum_from_the_middle_of_a_month(gaon: Customer) -> None:
    """31,000 from 17 October: 15 of 31 days are 15,000, of which 11,000 are short of 4,000; by days again when it ends."""
    answer = done("set_minimum", "gaon", "31000", "--from", "2026-10-17", *WHY)
    assert answer == {
        "id": MonthlyMinimum.objects.get().pk,
        "customer": "gaon",
        "amount_krw": 31_000,
        "applies_without_usage": True,
        "effective_from": "2026-10-17",
        "effective_to": None,
        "reason": "계약서 3조",
    }
    spend(gaon, 4_000)
    invoice = billed(gaon)
    assert amounts(invoice) == (15_000, 1_500, 16_500)
    assert list(invoice.lines.values_list("kind", "amount_krw")) == [("usage", 4_000), ("minimum", 11_000)]
    answer = done("end_minimum", str(answer["id"]), "--to", "2026-11-13", *WHY)
    assert answer["effective_to"] == "2026-11-13"
    assert amounts(billed(gaon, NOVEMBER, now=LATER)) == (12_400, 1_240, 13_640)  # 12 of 30 days, without any usage
    assert broken_checks() == {}


def test_a_minimum_of_months_with_usage_and_the_one_that_follows_it(gaon: Customer) -> None:
    first = done("set_minimum", "gaon", "31000", "--only-with-usage", *OCTOBER)
    assert first["applies_without_usage"] is False
    second = done("set_minimum", "gaon", "60000", "--from", "2026-11-01", "--to", "2026-12-01", *WHY)
    assert second["effective_to"] == "2026-12-01"
    assert MonthlyMinimum.objects.get(pk=first["id"]).effective_to == date(2026, 11, 1)
    close()
    assert not Invoice.objects.exists()
    assert amounts(billed(gaon, NOVEMBER, now=LATER)) == (60_000, 6_000, 66_000)
    assert broken_checks() == {}


def test_no_vat_until_the_evidence_is_withdrawn(gaon: Customer, clock: Callable[[datetime], None]) -> None:
    answer = done("record_zero_rating", "gaon", *EVIDENCE, *OCTOBER)
    row = ZeroRating.objects.get()
    assert answer == {
        "id": row.pk,
        "customer": "gaon",
        "article": "부가가치세법 제24조",
        "clause": "시행령 제33조 제2항 제1호",
        "reference": "외화입금증명서, 계약철 12",
        "sha256": "ab" * 32,
        "accepted_by": "세무사 김하나",
        "effective_from": "2026-10-01",
        "effective_to": None,
        "reason": "계약서 3조",
    }
    assert row.actor == "command record_zero_rating"
    spend(gaon, 10_000)
    invoice = billed(gaon)
    assert amounts(invoice) == (10_000, 0, 10_000)
    assert (invoice.tax_invoice.type_code, invoice.zero_rating) == ("0102", row)
    clock(datetime(2026, 10, 31, 14, 59, tzinfo=UTC))  # the last minute of October in Korea
    answer = done("withdraw_zero_rating", str(row.pk), "--reason", "계약 변경")
    assert answer["effective_to"] == "2026-11-01"
    spend(gaon, 10_000, at="2026-11-05T12:00:00+09:00")
    assert amounts(billed(gaon, NOVEMBER, now=LATER)) == (10_000, 1_000, 11_000)
    assert refused("withdraw_zero_rating", str(row.pk), *WHY) == (
        "conflict", None, "this evidence ends on 2026-11-01 already",
    )  # fmt: skip
    assert broken_checks() == {}


# -- What is agreed ----------------------------------------------------------------------------------------------------
def test_the_terms_that_hold_in_a_month_or_later(gaon: Customer) -> None:
    tenant("other")
    done("add_discount", "other", "--amount", "1", "--name", "x", *OCTOBER)
    until = done("add_discount", "gaon", "--share", "0.1", "--name", "약정 할인", *OCTOBER, "--to", "2026-11-01")
    later = done("add_discount", "gaon", "--amount", "5000", "--name", "파트너 할인", "--from", "2026-12-01", *WHY)
    never = done("add_discount", "gaon", "--amount", "9", "--name", "실수", "--from", "2026-12-01", *WHY)
    done("end_discount", str(never["id"]), "--to", "2026-12-01", "--reason", "잘못 입력")
    minimum = done("set_minimum", "gaon", "31000", "--from", "2026-10-17", "--to", "2026-11-13", *WHY)
    evidence = done("record_zero_rating", "gaon", *EVIDENCE, *OCTOBER)
    assert done("contract_terms", "gaon") == {
        "customer": "gaon",
        "month": "2026-09",
        "margins": [],
        "discounts": [until, later],
        "minimums": [minimum],
        "zero_ratings": [evidence],
        "credits": [],
        "prepaid_krw": 0,
    }
    november = done("contract_terms", "gaon", "--month", "2026-11")
    assert (november["discounts"], november["minimums"]) == ([later], [minimum])
    assert done("contract_terms", "gaon", "--month", "2026-12")["minimums"] == []
    assert printed("contract_terms", "gaon").splitlines() == [
        f"discount {until['id']}: gaon, 약정 할인, 10 % off every model, from 2026-10-01, not from 2026-11-01 on",
        f"discount {later['id']}: gaon, 파트너 할인, 5,000 won a month off every model, from 2026-12-01 until it is ended",
        f"minimum {minimum['id']}: gaon, 31,000 won a month, from 2026-10-17, not from 2026-11-13 on",
        f"zero rating {evidence['id']}: gaon, 부가가치세법 제24조 시행령 제33조 제2항 제1호, 외화입금증명서, 계약철 12 "
        "(SHA-256 abababababab), accepted by 세무사 김하나, from 2026-10-01 until it is ended",
    ]


def test_margins_credit_and_what_is_prepaid_are_terms_too(gaon: Customer) -> None:
    """Of the customer, not of the house or of others; margins that ended and credit that is gone are left out."""
    tenant("other")
    start = ("set_margin", "0.1", "--from", "2026-09-01")
    done(*start, "--customer", "other")
    done(*start, "--customer", "gaon", "--model", "acme/dollar", "--basis", "higher")
    done("set_margin", "0.2", "--from", "2026-10-16", "--customer", "gaon", "--model", "acme/dollar")
    days = ("--from", "2026-10-01", "--expires", "2026-10-31", *WHY)
    used = done("grant_credit", "gaon", "300", *days)["id"]
    left = done("grant_credit", "gaon", "5000", *days, "--model", "acme/cent", "--priority", "2")["id"]
    done("void_credit", str(used), *WHY)
    prepay(gaon, 20_000, at=datetime(2026, 9, 19, tzinfo=UTC))
    rule = MarginRule.objects.get(customer=gaon, effective_to=None)
    found = done("contract_terms", "gaon", "--month", "2026-11")
    assert (found["credits"], found["prepaid_krw"]) == ([], 20_000)
    found = done("contract_terms", "gaon", "--month", "2026-10")
    assert [(one["margin"], one["effective_to"]) for one in found["margins"]] == [("0.1", "2026-10-16"), ("0.2", None)]
    assert found["margins"][1] == {
        "id": rule.pk,
        "margin": "0.2",
        "basis": "higher",
        "provider": None,
        "family": None,
        "model": "acme/dollar",
        "effective_from": "2026-10-16",
        "effective_to": None,
    }
    assert found["credits"] == [
        {
            "id": left,
            "name": "첫 달 무료",
            "amount_krw": 5000,
            "remaining_krw": 5000,
            "models": ["acme/cent"],
            "priority": 2,
            "valid_from": "2026-10-01",
            "expires_on": "2026-10-31",
        }
    ]
    assert printed("contract_terms", "gaon").splitlines()[1:] == [
        f"margin {rule.pk}: gaon, 0.2 on higher, acme/dollar, from 2026-10-16 until it is ended",
        f"credit {left}: gaon, 첫 달 무료, 5,000 of 5,000 won left, usage of 2026-10-01 to 2026-10-31, acme/cent",
        "prepaid: gaon, 20,000 won left",
    ]


def warned(name: str, *arguments: str) -> list[str]:
    """What a command says beside its answer."""
    errors = io.StringIO()
    call_command(name, *arguments, stdout=io.StringIO(), stderr=errors)
    return errors.getvalue().splitlines()


def test_whoever_agrees_too_late_for_a_billed_month_is_told(gaon: Customer) -> None:
    """October is billed: what begins in it or before reaches it no more, what begins later or ended before never would."""
    spend(gaon, 1_000)
    number = billed(gaon).number
    late = [
        f"{number} of 2026-10 was issued before and stays as it is: "
        "if this is to hold for it, void it and issue it anew, or credit the difference"
    ]
    share = ("add_discount", "gaon", "--share", "0.1", "--name", "x", *WHY)
    assert warned(*share, "--from", "2026-10-01", "--to", "2026-12-01") == late
    assert warned(*share, "--from", "2026-09-01", "--to", "2026-10-01") == []
    assert warned(*share, "--from", "2026-11-01") == []
    assert warned("set_minimum", "gaon", "1", "--from", "2026-10-31", *WHY) == late
    assert warned("record_zero_rating", "gaon", *EVIDENCE, *OCTOBER) == late
    assert warned("grant_credit", "gaon", "1", "--from", "2026-10-31", "--expires", "2026-12-31", *WHY) == late
    assert warned("grant_credit", "gaon", "1", "--from", "2026-11-01", "--expires", "2026-12-31", *WHY) == []
    assert warned("set_margin", "0.1", "--from", "2026-10-20", "--customer", "gaon") == late
    assert warned("set_margin", "0.1", "--from", "2026-11-01", "--customer", "gaon") == []
    assert warned("set_margin", "0.1", "--from", "2026-10-20") == []
    tenant("other")
    assert warned("add_discount", "other", "--amount", "1", "--name", "x", *OCTOBER) == []


def test_what_a_person_reads(gaon: Customer) -> None:
    assert printed("contract_terms", "gaon") == "gaon: nothing is taken off or added from 2026-09 on\n"
    said = printed("add_discount", "gaon", "--share", "0.125", "--provider", "acme", "--name", "약정", *OCTOBER)
    discount = Discount.objects.get()
    assert said == f"discount {discount.pk}: gaon, 약정, 12.5 % off acme, from 2026-10-01 until it is ended\n"
    said = printed("end_discount", str(discount.pk), "--to", "2026-10-01", *WHY)
    assert said == f"discount {discount.pk}: gaon, 약정, 12.5 % off acme, taken back before it began\n"
    said = printed("set_minimum", "gaon", "31000", "--only-with-usage", *OCTOBER)
    minimum = MonthlyMinimum.objects.get()
    of = f"minimum {minimum.pk}: gaon, 31,000 won a month in months with usage, from 2026-10-01"
    assert said == f"{of} until it is ended\n"
    assert printed("end_minimum", str(minimum.pk), "--to", "2026-10-02", *WHY) == f"{of}, not from 2026-10-02 on\n"
    said = printed("record_zero_rating", "gaon", *EVIDENCE, *OCTOBER)
    assert said.endswith("accepted by 세무사 김하나, from 2026-10-01 until it is ended\n")
    said = printed("withdraw_zero_rating", str(ZeroRating.objects.get().pk), *WHY)
    assert said.endswith("accepted by 세무사 김하나, taken back before it began\n")


# -- Refusals ----------------------------------------------------------------------------------------------------------
FIRST = "so this is the first of one"
LISTED = "contract_terms prints a customer's"


@pytest.mark.parametrize(
    ("arguments", "code", "field", "message"),
    [
        (("nobody", "--share", "0.1"), "not_found", "customer", "there is no customer 'nobody'"),
        (("gaon", "--share", "10%"), "invalid_input", "share", "share: not a plain decimal number: '10%'"),
        (("gaon", "--share", "0"), "invalid_input", "share", "share: above 0 and below 1, not 0"),
        (("gaon", "--share", "1"), "invalid_input", "share", "share: above 0 and below 1, not 1"),
        (("gaon", "--share", "0.123456"), "invalid_input", "share", "share: at most 5 decimals"),
        (("gaon", "--amount", "0"), "invalid_input", "amount",
         "amount: more than 0 won, at most 1,000,000,000,000,000"),
        (("gaon", "--amount", "1" + "0" * 19), "invalid_input", "amount",
         "amount: more than 0 won, at most 1,000,000,000,000,000"),
        (("gaon", "--amount", "1", "--provider", "nobody"), "not_found", "provider", "there is no provider 'nobody'"),
        (("gaon", "--amount", "1", "--model", "acme/no"), "unknown_model", "model", "there is no model 'acme/no'"),
        (("gaon", "--amount", "1", "--name", " "), "invalid_input", "name",
         "name: 1 to 100 characters; it stands on the invoice"),
        (("gaon", "--amount", "1", "--reason", " "), "invalid_input", "reason", "this needs a reason"),
        (("gaon", "--amount", "1", "--reason", "x" * 301), "invalid_input", "reason", "reason: at most 300 characters"),
        (("gaon", "--amount", "1", "--from", "2026-10"), "invalid_input", "from",
         "from: not a day written as YYYY-MM-DD: '2026-10'"),
        (("gaon", "--amount", "1", "--from", "2026-10-02"), "invalid_input", "from",
         f"from: a discount holds for whole months, {FIRST}"),
        (("gaon", "--amount", "1", "--to", "2026-11-02"), "invalid_input", "to",
         f"to: a discount holds for whole months, {FIRST}"),
        (("gaon", "--amount", "1", "--to", "2026-10-01"), "invalid_input", "to",
         "to: after the day on which it begins"),
        (("gaon", "--amount", "1", "--provider", ""), "not_found", "provider", "there is no provider ''"),
        (("gaon", "--amount", "1", "--to", ""), "invalid_input", "to", "to: not a day written as YYYY-MM-DD: ''"),
        (("gaon", "--amount", "1", "--from", "0001-01-01"), "invalid_input", "from",
         "from: a day from 2000 on, not 0001-01-01"),
        (("gaon", "--amount", "1", "--to", "soon"), "invalid_input", "to", "to: not a day written as YYYY-MM-DD: 'soon'"),
    ],
)  # fmt: skip
def test_a_discount_is_refused_by_the_option_that_is_wrong(
    gaon: Customer, arguments: tuple[str, ...], code: str, field: str, message: str
) -> None:
    assert refused("add_discount", "--name", "할인", *OCTOBER, *arguments) == (code, field, message)
    assert not Discount.objects.exists()


@pytest.mark.parametrize(
    "arguments",
    [(), ("--share", "0.1", "--amount", "1"), ("--amount", "1", "--provider", "acme", "--model", "acme/cent")],
)
def test_a_discount_is_one_size_of_one_thing(gaon: Customer, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        run("add_discount", "gaon", "--name", "할인", *OCTOBER, *arguments)


def test_a_discount_ends_once_and_not_before_what_was_billed(gaon: Customer) -> None:
    pk = str(done("add_discount", "gaon", "--share", "0.1", "--name", "약정 할인", *OCTOBER)["id"])
    spend(gaon, 1_000)
    billed(gaon)
    for end, code, message in (
        ("2026-10-01", "conflict", "to: the invoice of 2026-10 has taken it already"),
        ("2026-09-01", "invalid_input", "to: not before 2026-10-01"),
        ("2026-11-15", "invalid_input", f"to: a discount holds for whole months, {FIRST}"),
        ("11/01", "invalid_input", "to: not a day written as YYYY-MM-DD: '11/01'"),
    ):
        assert refused("end_discount", pk, "--to", end, *WHY) == (code, "to", message)
    assert refused("end_discount", pk, "--to", "2026-11-01", "--reason", "") == (
        "invalid_input", "reason", "this needs a reason",
    )  # fmt: skip
    done("end_discount", pk, "--to", "2026-11-01", *WHY)
    again = refused("end_discount", pk, "--to", "2026-12-01", *WHY)
    assert again == ("conflict", "to", "this discount ends on 2026-11-01 already")


@pytest.mark.parametrize(
    ("arguments", "code", "field", "message"),
    [
        (("nobody", "1"), "not_found", "customer", "there is no customer 'nobody'"),
        (("gaon", "0"), "invalid_input", "amount", "amount: more than 0 won, at most 1,000,000,000,000,000"),
        (("gaon", "1", "--to", "2026-10-01"), "invalid_input", "to", "to: after the day on which it begins"),
        (("gaon", "1", "--from", "20261001"), "invalid_input", "from",
         "from: not a day written as YYYY-MM-DD: '20261001'"),
        (("gaon", "1", "--reason", ""), "invalid_input", "reason", "this needs a reason"),
        (("gaon", "1", "--from", "2026-12-01"), "conflict", "from",
         "gaon has a minimum from 2027-01-01 already; another one starts later"),
    ],
)  # fmt: skip
def test_a_minimum_is_refused_by_the_option_that_is_wrong(
    gaon: Customer, arguments: tuple[str, ...], code: str, field: str, message: str
) -> None:
    done("set_minimum", "gaon", "5", "--from", "2027-01-01", *WHY)
    assert refused("set_minimum", *OCTOBER, *arguments) == (code, field, message)
    assert MonthlyMinimum.objects.count() == 1


def test_a_minimum_ends_on_no_day_that_was_billed(gaon: Customer) -> None:
    pk = str(done("set_minimum", "gaon", "1000", *OCTOBER)["id"])
    billed(gaon)
    for end, code, message in (
        ("2026-10-20", "conflict", "to: 2026-10 was billed with it; not before 2026-11-01"),
        ("2026-09-30", "invalid_input", "to: not before 2026-10-01"),
    ):
        assert refused("end_minimum", pk, "--to", end, *WHY) == (code, "to", message)
    assert refused("set_minimum", "gaon", "2000", "--from", "2026-10-20", *WHY) == (
        "conflict", "from", "from: 2026-10 was billed with it; not before 2026-11-01",
    )  # fmt: skip
    done("end_minimum", pk, "--to", "2026-11-01", *WHY)
    again = refused("end_minimum", pk, "--to", "2026-12-01", *WHY)
    assert again == ("conflict", "to", "this minimum ends on 2026-11-01 already")


@pytest.mark.parametrize(
    ("arguments", "code", "field", "message"),
    [
        (("nobody",), "not_found", "customer", "there is no customer 'nobody'"),
        (("gaon", "--article", "부가가치세법 제26조"), "invalid_input", "article",
         f"article: one of {', '.join(ZeroRating.Article.values)}"),
        (("gaon", "--reference", " "), "invalid_input", "reference",
         "reference: say which document it is and where it is kept"),
        (("gaon", "--accepted-by", ""), "invalid_input", "accepted_by",
         "accepted_by: somebody has to accept the evidence"),
        (("gaon", "--sha256", "AB" * 32), "invalid_input", "sha256", "sha256: 64 hexadecimal digits in small letters"),
        (("gaon", "--clause", "x" * 101), "invalid_input", "clause", "clause: at most 100 characters"),
        (("gaon", "--from", "2026-10-02"), "invalid_input", "from", f"from: evidence holds for whole months, {FIRST}"),
        (("gaon", "--to", "2026-10-01"), "invalid_input", "to", "to: after the day on which it begins"),
        (("gaon", "--reason", ""), "invalid_input", "reason", "this needs a reason"),
        (("gaon",), "conflict", "from", "evidence of gaon covers months from 2026-10-01 on already"),
    ],
)  # fmt: skip
def test_evidence_is_refused_by_the_option_that_is_wrong(
    gaon: Customer, arguments: tuple[str, ...], code: str, field: str, message: str
) -> None:
    done("record_zero_rating", "gaon", *EVIDENCE, "--from", "2026-12-01", *WHY)
    assert refused("record_zero_rating", *EVIDENCE, *OCTOBER, *arguments) == (code, field, message)
    assert ZeroRating.objects.count() == 1


@pytest.mark.parametrize(
    ("option", "field"),
    [("--customer", "customer"), ("--provider", "provider"), ("--family", "family"), ("--model", "model")],
)
def test_an_empty_option_never_means_everybody_or_everything(gaon: Customer, option: str, field: str) -> None:
    """A script's variable was empty."""
    before = MarginRule.objects.count()
    assert refused("set_margin", "0.05", "--from", "2026-12-01", option, "")[1] == field
    assert MarginRule.objects.count() == before


@pytest.mark.parametrize("pk", ["999", "1" + "0" * 30])
def test_what_is_not_there_can_not_be_ended(pk: str, db: None) -> None:
    end = ("--to", "2026-11-01", *WHY)
    assert refused("end_discount", pk, *end) == ("not_found", "id", f"there is no discount {pk}; {LISTED}")
    assert refused("end_minimum", pk, *end) == ("not_found", "id", f"there is no monthly minimum {pk}; {LISTED}")
    assert refused("withdraw_zero_rating", pk, *WHY) == ("not_found", "id", f"there is no zero rating {pk}; {LISTED}")


def test_text_in_another_encoding_is_refused(gaon: Customer) -> None:
    """할인 of a terminal in CP949, as Python reads such bytes from the command line."""
    typed = "할인".encode("cp949").decode("utf-8", "surrogateescape")
    assert refused("add_discount", "gaon", "--amount", "1", "--name", typed, *OCTOBER) == (
        "invalid_input", None, "what was typed is not UTF-8 text: the terminal sends another encoding",
    )  # fmt: skip
    assert not Discount.objects.exists()


def test_terms_of_nobody_and_of_no_month(gaon: Customer) -> None:
    assert refused("contract_terms", "nobody") == ("not_found", "customer", "there is no customer 'nobody'")
    assert refused("contract_terms", "gaon", "--month", "2026-13")[:2] == ("invalid_input", "month")
