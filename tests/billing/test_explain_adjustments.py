"""Lines behind the usage explained to the won: discounts, the shortfall of a minimum, promotional credit."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from django.test import Client

from accounts.models import Customer
from billing.models import Invoice
from billing.services.crediting import reissue_invoice, void_invoice
from billing.services.discounting import end_discount
from billing.services.granting import void_credit
from catalog.models import Provider
from tests.billing.factories import ACTOR
from tests.billing.money import at_least, billed, cut, grant, plain_house, spend, zero_rate
from tests.billing.month import LATER, NOVEMBER, NOW, close, open_house, publish, tenant, use
from tests.usage_api.asking import asked, key_of, refused

pytestmark = pytest.mark.django_db


@pytest.fixture
def gaon() -> Customer:
    return plain_house()


def explained(invoice: Invoice) -> list[dict[str, Any]]:
    """Every line of an invoice as its customer reads it."""
    secret, _ = key_of(invoice.customer, name=f"key {invoice.pk}")
    path = f"/billing/v1/invoices/{invoice.number}/lines"
    return [asked(secret, f"{path}/{line.position}/explain") for line in invoice.lines.order_by("position")]


def won(amount: dict[str, str]) -> int:
    assert amount["currency"] == "KRW"
    return int(amount["amount"])


def parts(answer: dict[str, Any], *names: str) -> list[tuple[int, ...]]:
    """Position and won of each usage line that the answer splits into."""
    return [(part["position"], *(won(part[name]) for name in names)) for part in answer["lines"]]


def test_two_discounts_of_the_same_lines(gaon: Customer) -> None:
    """10 % of 40,003 and 60,002 is 10,000.5, so 10,001; 5,000 won go to the 36,002 and 54,002 that are left."""
    cut(gaon, won=5_000, name="파트너 할인")
    cut(gaon, share="0.1", first=date(2026, 9, 1))
    spend(gaon, 40_003, model="acme/cent")
    spend(gaon, 60_002)
    cent, _dollar, partner, tenth = explained(billed(gaon))

    assert (tenth["kind"], tenth["invoice"], tenth["line"]["position"]) == ("discount", "INV-202610-0001", 4)
    assert tenth["discount"] == {
        "name": "약정 할인",
        "share": "0.1",
        "monthly": None,
        "provider": None,
        "models": None,
        "since": "2026-09-01",
    }
    assert (won(tenth["base"]), won(tenth["left"])) == (100_005, 100_005)
    assert tenth["agreed_krw"] == tenth["exact_krw"] == {"decimal": "10000.5", "fraction": "20001/2"}
    assert [won(tenth[name]) for name in ("cut", "rounding", "taken")] == [10_000, 1, 10_001]
    assert tenth["line"]["supply"]["amount"] == "-10001"
    assert parts(tenth, "supply", "left", "amount") == [(1, 40_003, 40_003, 4_001), (2, 60_002, 60_002, 6_000)]
    assert [part["exact_krw"]["decimal"] for part in tenth["lines"]] == ["4000.3", "6000.2"]

    assert (partner["discount"]["share"], won(partner["discount"]["monthly"])) == (None, 5_000)
    assert (won(partner["base"]), won(partner["left"])) == (100_005, 90_004)
    assert parts(partner, "left", "amount") == [(1, 36_002, 2_000), (2, 54_002, 3_000)]
    assert [part["exact_krw"]["fraction"] for part in partner["lines"]] == ["45002500/22501", "67502500/22501"]
    assert [won(partner[name]) for name in ("cut", "rounding", "taken")] == [5_000, 0, 5_000]

    assert cent["kind"] == "usage"
    assert [(one["position"], won(one["amount"])) for one in cent["discounts"]] == [(3, 2_000), (4, 4_001)]


def test_more_agreed_than_there_is_left(gaon: Customer) -> None:
    """30 % and 80 % of 1,001 won: the older takes 300, the newer finds 701 of 800.8; nothing is left for won a month."""
    acme = Provider.objects.get(slug="acme")
    cut(gaon, share="0.3", name="a")
    cut(gaon, share="0.8", name="b", provider=acme)
    cut(gaon, won=7, name="c")
    spend(gaon, 1_001)
    usage, older, newer = explained(billed(gaon))
    assert parts(older, "left", "amount") == [(1, 1_001, 300)]
    assert newer["discount"]["provider"] == "acme"
    assert (newer["agreed_krw"]["decimal"], newer["exact_krw"]["decimal"]) == ("800.8", "701")
    assert (won(newer["base"]), won(newer["left"]), won(newer["taken"])) == (1_001, 701, 701)
    assert won(usage["left"]) == 0


def test_a_share_of_some_models_and_months(gaon: Customer) -> None:
    """Late usage of October is none of November's discount; neither is another model."""
    cut(gaon, share="0.1", first=NOVEMBER.first_on, models=["acme/dollar"])
    spend(gaon, 1_000)
    close()
    spend(gaon, 2_000, at="2026-10-20T12:00:00+09:00")
    spend(gaon, 3_000, at="2026-11-20T12:00:00+09:00")
    spend(gaon, 4_000, model="acme/cent", at="2026-11-20T12:00:00+09:00")
    late, _cent, dollar, discount = explained(billed(gaon, NOVEMBER, now=LATER))
    assert (late["kind"], late["line"]["month"]) == ("supplementary", "2026-10")
    assert (discount["discount"]["models"], won(discount["base"])) == (["acme/dollar"], 3_000)
    assert parts(discount, "supply", "amount") == [(dollar["line"]["position"], 3_000, 300)]


def test_a_void_invoice_says_what_its_discount_was(gaon: Customer) -> None:
    """Once it is void, its discount can be taken back whole; the invoice still says what it was issued with."""
    discount = cut(gaon, share="0.1")
    cut(gaon, won=50)
    spend(gaon, 1_000)
    invoice = billed(gaon)
    before = explained(invoice)
    assert parts(before[1], "amount") == [(1, 100)]
    void_invoice(invoice=invoice, reason="x", actor=ACTOR, now=NOW)
    end_discount(discount=discount, effective_to=date(2026, 10, 1), reason="x", actor=ACTOR)
    anew = reissue_invoice(invoice=invoice, actor=ACTOR, now=NOW)
    secret, _ = key_of(gaon)
    path = f"/billing/v1/invoices/{invoice.number}/lines"
    assert [asked(secret, f"{path}/{position}/explain") for position in (1, 2, 3)] == before
    assert [one["kind"] for one in explained(anew)] == ["usage", "discount"]


def test_a_minimum_of_a_part_of_the_month(gaon: Customer) -> None:
    """1,000,000 a month from 17 October are 15 of 31 days: 483,870.97; usage of 100,000 less a tenth leaves 393,871."""
    at_least(gaon, 1_000_000, first=date(2026, 10, 17))
    cut(gaon, share="0.1")
    grant(gaon, 30_000)
    spend(gaon, 100_000)
    _usage, _discount, minimum, _credit = explained(billed(gaon))
    assert minimum["kind"] == "minimum"
    assert minimum["parts"] == [
        {
            "monthly": {"amount": "1000000", "currency": "KRW"},
            "first_on": "2026-10-17",
            "last_on": "2026-10-31",
            "days": 15,
            "exact_krw": {"decimal": "483870.967741935483…", "fraction": "15000000/31"},
        }
    ]
    assert (minimum["days_of_month"], minimum["exact_krw"]["fraction"]) == (31, "15000000/31")
    names = ("cut", "rounding", "minimum", "usage", "discounts", "left", "shortfall")
    assert [won(minimum[name]) for name in names] == [483_870, 1, 483_871, 100_000, 10_000, 90_000, 393_871]
    assert won(minimum["line"]["supply"]) == 393_871


def test_a_minimum_that_changes_within_the_month_and_no_usage(gaon: Customer) -> None:
    at_least(gaon, 1_000_000)
    at_least(gaon, 2_000_000, first=date(2026, 10, 16))
    spend(gaon, 1)
    _usage, minimum = explained(billed(gaon))
    assert [(part["first_on"], part["last_on"], part["days"]) for part in minimum["parts"]] == [
        ("2026-10-01", "2026-10-15", 15),
        ("2026-10-16", "2026-10-31", 16),
    ]
    exact = sum(Fraction(part["exact_krw"]["fraction"]) for part in minimum["parts"])
    assert exact == Fraction(minimum["exact_krw"]["fraction"]) == Fraction(47_000_000, 31)
    assert [won(minimum[name]) for name in ("rounding", "minimum", "shortfall")] == [0, 1_516_129, 1_516_128]
    (alone,) = explained(billed(gaon, NOVEMBER, now=LATER))
    assert [won(alone[name]) for name in ("usage", "left", "shortfall")] == [0, 0, 2_000_000]


def test_two_credits_day_by_day(gaon: Customer) -> None:
    """The trial pays of 5 October 10,000 of the first line and 5,000 of the second; the other the rest, earliest first."""
    trial = grant(gaon, 15_000, last=date(2026, 10, 10), name="체험")
    other = grant(gaon, 30_010, last=date(2026, 12, 31), models=["acme/dollar"], name="보상")
    void_credit(credit=other, amount_krw=5, reason="x", actor=ACTOR, now=NOW)
    spend(gaon, 10_000, model="acme/cent", at="2026-10-05T12:00:00+09:00")
    spend(gaon, 20_000, at="2026-10-05T12:00:00+09:00")
    spend(gaon, 40_000, at="2026-10-25T12:00:00+09:00")
    _cent, dollar, first, second = explained(billed(gaon))

    assert (first["kind"], first["line"]["supply"]["amount"]) == ("promotion", "-15000")
    assert first["credit"] == {
        "name": "체험",
        "granted": {"amount": "15000", "currency": "KRW"},
        "valid_from": "2026-10-01",
        "expires_on": "2026-10-10",
        "models": None,
        "before": {"amount": "15000", "currency": "KRW"},
        "used": {"amount": "15000", "currency": "KRW"},
        "after": {"amount": "0", "currency": "KRW"},
    }
    assert won(first["covered"]) == 30_000
    names = ("supply", "discount", "left", "covered", "amount")
    assert parts(first, *names) == [(1, 10_000, 0, 10_000, 10_000, 10_000), (2, 60_000, 0, 60_000, 20_000, 5_000)]
    # VAT of 70,000 and of 55,000, and then of 24,995: 2,499.5.
    vat = ("supply_before", "supply_after", "before", "after", "saved")
    assert [won(first["vat"][name]) for name in vat] == [70_000, 55_000, 7_000, 5_500, 1_500]
    assert [won(second["vat"][name]) for name in vat] == [55_000, 24_995, 5_500, 2_500, 3_000]

    assert second["credit"]["models"] == ["acme/dollar"]
    assert [won(second["credit"][name]) for name in ("granted", "before", "used", "after")] == [
        30_010,
        30_005,
        30_005,
        0,
    ]
    assert parts(second, *names) == [(2, 60_000, 0, 55_000, 55_000, 30_005)]
    assert [(day["day"], won(day["left"]), won(day["amount"])) for day in second["lines"][0]["days"]] == [
        ("2026-10-05", 15_000, 15_000),
        ("2026-10-25", 40_000, 15_005),
    ]
    assert won(dollar["line"]["promotion"]) == 35_005
    trial.refresh_from_db()
    assert trial.remaining_krw == 0


def test_a_credit_of_many_months_and_of_an_invoice_issued_anew(gaon: Customer) -> None:
    """What was left before an invoice stays what it was, whatever became of the grant since."""
    grant(gaon, 50_000, last=date(2026, 11, 30))
    spend(gaon, 20_000)
    october = billed(gaon)
    void_invoice(invoice=october, reason="x", actor=ACTOR, now=NOW)
    anew = reissue_invoice(invoice=october, actor=ACTOR, now=NOW)
    spend(gaon, 45_000, at="2026-11-10T12:00:00+09:00")
    november = billed(gaon, NOVEMBER, now=LATER)
    shown = [explained(invoice)[-1]["credit"] for invoice in (october, anew, november)]
    assert [[won(one[name]) for name in ("before", "used", "after")] for one in shown] == [
        [50_000, 20_000, 30_000],
        [50_000, 20_000, 30_000],
        [30_000, 30_000, 0],
    ]


def test_days_weigh_by_their_rates_and_a_zero_rate_saves_nothing() -> None:
    """Under the daily rule 3,529 won are a third and two thirds of two days; the credit covers the first."""
    open_house(margin="0.15", rate="1400")
    publish(date(2026, 10, 5), "1000")
    publish(date(2026, 10, 20), "2000")
    customer = tenant(exchange_rule="daily")
    zero_rate(customer)
    grant(customer, 1_000_000, last=date(2026, 10, 10))
    spend(customer, 1_000, at="2026-10-05T12:00:00+09:00")
    spend(customer, 1_000, at="2026-10-20T12:00:00+09:00")
    usage, credit = explained(billed(customer))
    assert won(usage["line"]["supply"]) == 3_529
    assert [(day["day"], won(day["left"])) for day in credit["lines"][0]["days"]] == [("2026-10-05", 1_176)]
    assert [won(credit["vat"][name]) for name in ("supply_before", "before", "after", "saved")] == [3_529, 0, 0, 0]


def test_all_of_an_invoice_adds_up_line_by_line() -> None:
    """Late usage, days with rates of their own, fractions everywhere, more discounts and credits than one line has won."""
    open_house(margin="0.137", rate="1387.3")
    for day in (3, 9, 17, 25):
        publish(date(2026, 10, day), f"13{day:02}.7")
        publish(date(2026, 11, day), f"14{day:02}.1")
    customer = tenant(exchange_rule="daily", rounding="down")
    use(customer, 700_003, at="2026-10-04T12:00:00+09:00")
    close()
    cut(customer, share="0.07123", first=date(2026, 10, 1))
    cut(customer, share="0.9", models=["acme/cent"])
    cut(customer, won=777, name="c", first=NOVEMBER.first_on)
    grant(customer, 1_001, last=date(2026, 11, 12), models=["acme/dollar"], name="d")
    grant(customer, 501, last=date(2026, 11, 30), name="e")
    grant(customer, 9_999, first=date(2026, 11, 10), last=date(2026, 12, 31), name="f")
    use(customer, 1_333_333, at="2026-10-20T12:00:00+09:00", now=LATER)
    for day in (3, 10, 18, 26):
        use(customer, 1_000_007 * day, at=f"2026-11-{day:02}T12:00:00+09:00", now=LATER)
        use(customer, 30_000_013 * day, model="acme/cent", at=f"2026-11-{day:02}T13:00:00+09:00", now=LATER)
    invoice = billed(customer, NOVEMBER, now=LATER)
    answers = explained(invoice)
    assert [one["kind"] for one in answers] == ["supplementary", *["usage"] * 2, *["discount"] * 3, *["promotion"] * 3]
    for kind, name in (("discount", "discount"), ("promotion", "promotion")):
        behind = [one for one in answers if one["kind"] == kind]
        for usage in (one["line"] for one in answers[:3]):
            of_line = [
                won(part["amount"]) for one in behind for part in one["lines"] if part["position"] == usage["position"]
            ]
            assert sum(of_line) == won(usage[name])
        for one in behind:
            assert sum(won(part["amount"]) for part in one["lines"]) == -won(one["line"]["supply"]) > 0
    for one in answers[3:6]:
        exact = sum(Fraction(part["exact_krw"]["fraction"]) for part in one["lines"])
        assert exact == Fraction(one["exact_krw"]["fraction"])
        assert int(exact) == won(one["cut"]) == won(one["taken"])
    credits = answers[6:]
    for one in credits:
        for part in one["lines"]:
            assert sum(won(day["left"]) for day in part["days"]) == won(part["covered"]) <= won(part["left"])
            assert sum(won(day["amount"]) for day in part["days"]) == won(part["amount"])
        assert won(one["credit"]["used"]) == min(won(one["credit"]["before"]), won(one["covered"]))
    assert won(credits[-1]["vat"]["supply_after"]) == invoice.supply_krw
    assert won(credits[0]["vat"]["before"]) - sum(won(one["vat"]["saved"]) for one in credits) == invoice.vat_krw


def test_lines_in_dollars_say_them() -> None:
    open_house()
    customer = tenant(invoice_currency="USD")
    cut(customer, share="0.1")
    use(customer, 4_000_000)
    usage, discount = explained(billed(customer))
    assert usage["line"]["supply_usd"] == {"amount": "4.71", "currency": "USD"}
    assert (won(discount["taken"]), discount["line"]["supply_usd"]["amount"]) == (659, "-0.47")


def test_what_is_no_line_or_somebody_elses_is_not_found(gaon: Customer) -> None:
    cut(gaon, share="0.1")
    spend(gaon, 1_000)
    path = f"/billing/v1/invoices/{billed(gaon).number}/lines"
    secret, _ = key_of(gaon)
    assert asked(secret, f"{path}/2/explain", limit="5")["kind"] == "discount"
    assert refused(secret, f"{path}/3/explain") == (404, "not_found", "position")
    assert refused(secret, f"{path}/2/explain", limit="0")[:2] == (400, "invalid_input")
    stranger, _ = key_of(tenant("other"))
    assert refused(stranger, f"{path}/2/explain") == (404, "not_found", "number")


def test_the_schema_tells_the_kinds_apart() -> None:
    document = Client().get("/billing/v1/schema").json()
    shape = document["components"]["schemas"]["ExplainedLineDocument"]
    assert shape["discriminator"]["propertyName"] == "kind"
    assert {kind: ref.rpartition("/")[2] for kind, ref in shape["discriminator"]["mapping"].items()} == {
        "usage": "LineExplanationDocument",
        "supplementary": "LineExplanationDocument",
        "discount": "DiscountExplanationDocument",
        "minimum": "MinimumExplanationDocument",
        "promotion": "PromotionExplanationDocument",
    }
