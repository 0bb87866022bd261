"""What broke other billing engines, restated in won: usage, months, rounding, minimums and numbers.

The scenarios are the rows of section 5 of `reference/billing-engines.md` (shared facts). Those about money that is
received, given and taken back are in `test_scenarios_money.py`; a docstring names its row and what went wrong elsewhere.

Where each row is proven ("here" and "money" are this file and that one, the others stand beside them):

==== ==================================================================================================================
row  test
==== ==================================================================================================================
1    here test_calls_below_a_won_are_rounded_once; test_prepayments::test_usage_below_a_won_a_line_is_billed_by_its_sum
2    here test_calls_below_a_won_are_rounded_once
3    here test_ten_off_over_four_models_is_spread_and_taken_back_by_line; test_promotions::test_coupon_over_four_fees
4    test_promotions::test_more_credit_than_usage_leaves_a_rest_and_no_tax_document;
     test_discounts::test_more_discount_than_usage_leaves_nothing_and_no_tax_document
5, 6 money test_notes_of_any_size_close_to_the_invoices_own_won
7    money test_a_note_on_a_discounted_line_takes_back_what_was_charged
8    test_prepayments::test_two_months_from_one_wallet
9,10 test_promotions::test_priority_comes_first_and_then_age
11   test_prepayments::test_granted_30_and_bought_70
12   test_promotions::test_voiding_takes_what_is_left_and_no_more
13   money test_an_amount_that_is_no_whole_won_is_refused_and_not_rounded
14   money test_what_is_left_is_the_same_won_wherever_it_is_asked
15   money test_what_is_available_counts_two_open_months_and_the_close_changes_nothing;
     test_prepayments::test_the_outlook_takes_off_what_is_not_invoiced_yet
16   money test_money_that_was_asked_for_is_none_until_it_arrives_and_none_when_it_goes_back
18   here test_a_credit_note_does_not_open_the_minimum_again; test_minimums::test_twenty_five_days_of_twenty_eight
19   test_close_steps::test_step_by_step_to_the_invoice (one mail); test_deliveries::test_mails_and_tax_invoice_go_out_once
20   money test_a_paid_invoice_is_given_back_whole_or_in_two_parts
21   here test_a_number_is_never_used_again; test_close_races::test_fifty_numbers_at_once_with_rollbacks_leave_no_gap
23   pure/test_periods::test_a_month_begins_at_midnight_in_korea; test_closing::test_the_month_begins_at_korean_midnight
24   pure/test_periods::test_neighbours; test_years::test_two_years_to_the_won (29 February)
26   here test_a_price_that_changes_within_the_month_holds_from_its_moment
27   here test_usage_of_months_past_is_billed_however_late_and_nothing_turns_negative;
     test_close_steps::test_the_status_names_usage_of_earlier_months_that_nobody_closed
28   here test_a_day_is_a_korean_day_wherever_the_call_was_made
29   money test_a_credit_note_gives_the_prepayment_back_with_its_vat
30   money test_payments_refunds_and_a_returned_transfer_end_where_they_began
31   test_credit_notes::test_a_voided_invoice_is_issued_anew_by_the_terms_of_today (billed once: a second reissue is
     refused), ::test_an_invoice_with_credit_notes_is_not_voided; test_payments::test_a_paid_invoice_can_not_be_voided
     (by hand: the service first frees what paid it)
32   here test_lines_share_the_rounded_sum_whatever_came_first; pure/test_money::test_shares_of_a_total
33   test_minimums::test_it_looks_at_discounted_usage_and_credit_comes_after_it, ::test_a_month_without_usage_is_invoiced
35   here test_usage_of_months_past_is_billed_however_late_and_nothing_turns_negative;
     test_closing::test_late_usage_keeps_its_own_month_and_price
36   test_promotions::test_expiry_waits_for_the_bill_and_then_writes_the_rest_off,
     ::test_a_void_invoice_gives_its_credit_back_once, ::test_what_an_invoice_used_can_not_be_voided;
     money test_a_bill_that_shrank_gives_back_the_credit_used_last
37   here test_what_arrives_between_the_months_end_and_the_close_is_on_its_invoice
38   here test_a_supply_is_rounded_once_and_its_lines_add_up, ::test_a_minimum_fills_up_rounded_usage_to_the_won
39   here test_vat_is_a_tenth_of_the_invoice_and_not_of_its_lines
40   here test_a_contract_that_ended_is_billed_for_its_last_usage, ::test_a_supply_is_rounded_once_and_its_lines_add_up;
     test_payments::test_the_same_line_is_one_payment_and_two_equal_deposits_are_two, ::test_matching_again_changes_nothing
42   test_money_races::test_many_reversals_and_payments_of_one_top_up; test_ledger::test_a_reversal_mirrors_and_happens_once
43   test_payments (its first eight tests); money test_a_deposit_for_a_void_invoice_pays_nothing,
     test_an_amount_that_is_no_whole_won_is_refused_and_not_rounded
44   here test_vat_is_a_tenth_of_the_invoice_and_not_of_its_lines
45   here test_ten_thousand_calls_of_a_fraction_of_a_won
==== ==================================================================================================================

What this house does not have: 17 invoices within the month (a limit holds calls back instead, tests/gateway); 22 fees in
advance by parts of a week; 25, 34 packages, tiers and volumes, the tiers of 26 and 33 (a price is one price; one that was
wrong is corrected by a credit note, test_credit_notes); the tax rates of 29 that change by year (10 %, or zero-rated by
recorded evidence, test_zero_rating); 41 trials (free credit takes their place, row 4); of 43 the mail about a deposit that
was too small.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from accounts.models import Customer
from billing.errors import MonthNotEnded
from billing.models import BillingRunItem, Invoice
from billing.services.closing import start_run
from billing.services.crediting import issue_credit_note, reissue_invoice, void_invoice
from catalog.services import sync_catalog
from tests.billing.factories import ACTOR
from tests.billing.money import amounts, at_least, billed, broken_checks, cut, plain_house, prepay, spend
from tests.billing.month import LATER, NOVEMBER, NOW, OCTOBER, close, listing, open_house, publish, tenant, use
from usage.periods import BillingMonth
from usage.services.ingesting import Status, ingest_events

pytestmark = pytest.mark.django_db

SEPTEMBER, MARCH = BillingMonth(2026, 9), BillingMonth(2026, 3)
#: What `plain_house` sells at: 1,000 tokens of acme/dollar, or of any model that `use_each` adds, are one won of supply.
PLAIN = {"dollar": "0.000001", "cent": "0.00000001"}


@pytest.fixture
def gaon() -> Customer:
    return plain_house()


def price(at: datetime, **prices: str) -> None:
    """Other models, or other prices, from then on."""
    sync_catalog(body=listing(**(PLAIN | prices)), source="test", at=at, actor=ACTOR, now=NOW)


def use_each(customer: Customer, won: Mapping[str, str], *, at: str = "2026-10-15T12:00:00+09:00") -> None:
    """Use so many won of supply of each model, in that order; thousandths of a won are a token."""
    price(datetime(2026, 1, 2, tzinfo=UTC), **dict.fromkeys(won, PLAIN["dollar"]))
    for name, amount in won.items():
        tokens = Decimal(amount) * 1_000
        assert tokens == int(tokens)
        use(customer, int(tokens), model=f"acme/{name}", at=at)


def models(*won: str) -> dict[str, str]:
    """Those won of models a, b, c ..."""
    return dict(zip("abcdefgh", won, strict=False))


def line_won(invoice: Invoice) -> list[int]:
    return list(invoice.lines.values_list("amount_krw", flat=True))


@pytest.mark.parametrize(
    ("won", "lines", "total", "left"),
    [
        # 6 x 0.4 + 2 x 1 = 4.4: 4, VAT 0.4: 0. Rounded by line it was 2.
        (models(*["0.4"] * 6, "1", "1"), [1, 1, 0, 0, 0, 0, 1, 1], (4, 0, 4), 9_996),
        # 8 x 1.4 = 11.2: 11, VAT 1.1: 1. Rounded by line it was 8.
        (models(*["1.4"] * 8), [2, 2, 2, 1, 1, 1, 1, 1], (11, 1, 12), 9_988),
    ],
)
def test_calls_below_a_won_are_rounded_once(
    gaon: Customer, won: dict[str, str], lines: list[int], total: tuple[int, int, int], left: int
) -> None:
    """Rows 1, 2: eight fees rounded one by one lost up to 55 % of what was used. Ours round their sum and share it out."""
    prepay(gaon, 10_000)
    use_each(gaon, won)
    invoice = billed(gaon)
    assert (amounts(invoice), line_won(invoice), invoice.due_krw) == (total, lines, 0)
    assert gaon.prepayments.get().remaining_krw == left
    assert broken_checks() == {}


def test_ten_off_over_four_models_is_spread_and_taken_back_by_line(gaon: Customer) -> None:
    """Row 3: a coupon of 10 on fees of 100, 50, 30 and 20 lies on them as 5, 2.5, 1.5 and 1 (thousands of won).

    200,000 - 10,000 = 190,000, VAT 19,000. Credited line by line, the VAT comes back as 9,500 + 4,750 + 2,850 + 1,900.
    """
    cut(gaon, won=10_000)
    use_each(gaon, models("100000", "50000", "30000", "20000"))
    invoice = billed(gaon)
    assert amounts(invoice) == (190_000, 19_000, 209_000)
    assert list(invoice.lines.values_list("kind", "discount_krw")) == [
        ("usage", 5_000),
        ("usage", 2_500),
        ("usage", 1_500),
        ("usage", 1_000),
        ("discount", 0),
    ]
    notes = [
        issue_credit_note(
            invoice=invoice, amounts_krw={position: won}, amendment_code="01", reason="x", actor=ACTOR, now=NOW
        )
        for position, won in enumerate((95_000, 47_500, 28_500, 19_000), start=1)
    ]
    assert [note.vat_krw for note in notes] == [9_500, 4_750, 2_850, 1_900]
    assert invoice.credit_notes.count() == 4
    assert broken_checks() == {}


def test_a_credit_note_does_not_open_the_minimum_again(gaon: Customer) -> None:
    """Row 18: 10,000 a month from 4 February: 10,000 x 25 / 28 = 8,928.57: 8,929. Usage 2,000 + 5,000: 1,929 are short.

    VAT 892.9: 893, total 9,822. A note of 584 leaves 8,345, VAT 834.5: 835, so 58 of VAT come back: 642 in all. What it
    takes off is not asked for again in March, whose 10,000 are used.
    """
    publish(date(2026, 2, 27), "1000")
    publish(date(2026, 3, 31), "1000")
    at_least(gaon, 10_000, first=date(2026, 2, 4))
    use_each(gaon, models("2000", "5000"), at="2026-02-10T12:00:00+09:00")
    invoice = billed(gaon, BillingMonth(2026, 2))
    assert (line_won(invoice), amounts(invoice)) == ([2_000, 5_000, 1_929], (8_929, 893, 9_822))
    note = issue_credit_note(
        invoice=invoice, amounts_krw={1: 584}, amendment_code="01", reason="x", actor=ACTOR, now=NOW
    )
    invoice.refresh_from_db()
    assert (note.supply_krw, note.vat_krw, note.total_krw, invoice.due_krw) == (584, 58, 642, 9_180)
    spend(gaon, 10_000, at="2026-03-10T12:00:00+09:00")
    march = billed(gaon, MARCH)
    assert (line_won(march), amounts(march)) == ([10_000], (10_000, 1_000, 11_000))
    assert broken_checks() == {}


def test_a_number_is_never_used_again(gaon: Customer) -> None:
    """Row 21: an engine that numbered by customer, then by issuer, then by customer had to take care of its old numbers.

    Ours have one series a month for everybody, and another for credit notes: a void number stays void.
    """
    other = tenant("other")
    for customer in (gaon, other):
        spend(customer, 1_000)
    close()
    first, second = Invoice.objects.order_by("number")
    assert (first.number, second.number) == ("INV-202610-0001", "INV-202610-0002")
    void_invoice(invoice=first, reason="x", actor=ACTOR, now=NOW)
    assert reissue_invoice(invoice=first, actor=ACTOR, now=NOW).number == "INV-202610-0003"
    note = issue_credit_note(invoice=second, amounts_krw={1: 1}, amendment_code="01", reason="x", actor=ACTOR, now=NOW)
    assert note.number == "CN-202611-0001"
    spend(other, 1_000, at="2026-11-10T12:00:00+09:00")
    assert billed(other, NOVEMBER, now=LATER).number == "INV-202611-0001"
    close()
    assert Invoice.objects.filter(month=OCTOBER.first_on).count() == 3
    assert broken_checks() == {}


def test_a_price_that_changes_within_the_month_holds_from_its_moment(gaon: Customer) -> None:
    """Row 26: units at 1.50, and at 2.50 from the eighth: 143 + 57 = 300.00; then 100 of each = 150.00 + 250.00.

    A unit is a million tokens: USD 1.50 and, from midnight in Korea of 8 October, 2.50, at 1,000 won.
    """
    publish(date(2026, 9, 30), "1000")
    price(datetime(2026, 1, 2, tzinfo=UTC), unit="0.0000015")
    price(datetime(2026, 10, 7, 15, tzinfo=UTC), unit="0.0000025")
    for units, at in (
        (143, "2026-09-03T09:00:00+09:00"),
        (57, "2026-09-30T23:59:59+09:00"),
        (100, "2026-10-07T23:59:59.999999+09:00"),
        (100, "2026-10-08T00:00:00+09:00"),
    ):
        use(gaon, units * 1_000_000, model="acme/unit", at=at)
    september, october = billed(gaon, SEPTEMBER), billed(gaon)
    assert (september.cost_usd, amounts(september)) == (Decimal(300), (300_000, 30_000, 330_000))
    assert (october.cost_usd, amounts(october)) == (Decimal(400), (400_000, 40_000, 440_000))
    assert line_won(october) == [400_000]
    assert broken_checks() == {}


def test_usage_of_months_past_is_billed_however_late_and_nothing_turns_negative(gaon: Customer) -> None:
    """Rows 27, 35: usage more than two periods late was ignored; merged into the commitment, it made negative lines.

    October: 800 less 10 % are 720, 280 short of 1,000. In November come 200 of July (no discount then), 500 of October and
    300 of November: 200 + 450 + 270 = 920, 80 short of November's 1,000. October's invoice stays what it was.
    """
    gaon.created_at = datetime(2026, 7, 1, tzinfo=UTC)
    gaon.save()
    for number in (7, 8, 9):
        close(BillingMonth(2026, number))
    at_least(gaon, 1_000)
    cut(gaon, share="0.1")
    spend(gaon, 800)
    october = billed(gaon)
    assert (line_won(october), amounts(october)) == ([800, -80, 280], (1_000, 100, 1_100))
    spend(gaon, 200, at="2026-07-31T23:59:59+09:00")
    spend(gaon, 500, at="2026-10-31T23:59:59+09:00")
    spend(gaon, 300, at="2026-11-05T12:00:00+09:00")
    november = billed(gaon, NOVEMBER, now=LATER)
    assert list(november.lines.values_list("kind", "month", "amount_krw", "discount_krw")) == [
        ("supplementary", date(2026, 7, 1), 200, 0),
        ("supplementary", date(2026, 10, 1), 500, 50),
        ("usage", date(2026, 11, 1), 300, 30),
        ("discount", date(2026, 11, 1), -80, 0),
        ("minimum", date(2026, 11, 1), 80, 0),
    ]
    assert amounts(november) == (1_000, 100, 1_100)
    october.refresh_from_db()
    assert amounts(october) == (1_000, 100, 1_100)
    assert broken_checks() == {}


def test_a_day_is_a_korean_day_wherever_the_call_was_made() -> None:
    """Row 28: a call of an evening in Los Angeles was dated by the server. Under the daily rule a day has its own rate.

    A dollar at the last microsecond of 14 October in Korea is 1,000 won; one a microsecond later, and one that is written
    with California's offset, are 2,000 each: 5,000, VAT 500.
    """
    open_house(margin="0", rate=None)
    publish(date(2026, 10, 14), "1000")
    publish(date(2026, 10, 15), "2000")
    customer = tenant(exchange_rule="daily")
    for at in ("2026-10-14T14:59:59.999999Z", "2026-10-14T15:00:00Z", "2026-10-14T22:30:00-07:00"):
        use(customer, 1_000_000, at=at)
    invoice = billed(customer)
    assert amounts(invoice) == (5_000, 500, 5_500)
    days = [(one["day"], one["rate"]) for one in invoice.exchange_evidence["daily"]]
    assert days == [("2026-10-14", "1000.0000"), ("2026-10-15", "2000.0000")]


@pytest.mark.parametrize("names", ["abc", "cba", "bca"])
@pytest.mark.parametrize(
    ("won", "lines"),
    [
        # 3 x 1.667 = 5.001: 5 over three equal shares.
        ({"a": "1.667", "b": "1.667", "c": "1.667"}, [2, 2, 1]),
        # 100 as 1 : 2 : 3 is 16.667, 33.333 and 50.
        ({"a": "16.667", "b": "33.333", "c": "50"}, [17, 33, 50]),
    ],
)
def test_lines_share_the_rounded_sum_whatever_came_first(
    gaon: Customer, names: str, won: dict[str, str], lines: list[int]
) -> None:
    """Row 32: 5 over three are 2, 2 and 1, and the same model has the same won in whatever order its usage came."""
    use_each(gaon, {name: won[name] for name in names})
    invoice = billed(gaon)
    assert list(invoice.lines.values_list("model_name", "amount_krw")) == [
        (f"acme/{name}", amount) for name, amount in zip("abc", lines, strict=True)
    ]
    assert invoice.supply_krw == sum(lines)


def test_what_arrives_between_the_months_end_and_the_close_is_on_its_invoice(gaon: Customer) -> None:
    """Row 37: usage of the period that is heard of in the hour after its end belongs to its invoice.

    Before the end in Korea nothing is closed; half an hour later comes a call of October's last second.
    """
    spend(gaon, 1_000)
    with pytest.raises(MonthNotEnded):
        start_run(month=OCTOBER, actor=ACTOR, now=datetime(2026, 10, 31, 14, 59, 59, tzinfo=UTC))
    half_past = datetime(2026, 10, 31, 15, 30, tzinfo=UTC)
    spend(gaon, 500, at="2026-10-31T23:59:59+09:00", now=half_past)
    invoice = billed(gaon, now=datetime(2026, 10, 31, 16, tzinfo=UTC))
    assert list(invoice.lines.values_list("kind", "amount_krw")) == [("usage", 1_500)]
    assert amounts(invoice) == (1_500, 150, 1_650)


@pytest.mark.parametrize(
    ("won", "rounding", "lines", "total"),
    [
        (["1023.45"], "half_up", [1_023], (1_023, 102, 1_125)),  # VAT 102.3
        (["1023.5"], "half_up", [1_024], (1_024, 102, 1_126)),  # VAT 102.4
        (["1023.5"], "down", [1_023], (1_023, 102, 1_125)),
        (["100.4", "200.5", "300.6"], "half_up", [100, 201, 301], (602, 60, 662)),  # 601.5
        (["100.4", "200.5", "300.6"], "down", [100, 200, 301], (601, 60, 661)),
        (["10.333"] * 3, "half_up", [11, 10, 10], (31, 3, 34)),  # 30.999
        (["10.333"] * 3, "down", [10, 10, 10], (30, 3, 33)),
        (["999"], "half_up", [999], (999, 100, 1_099)),  # VAT 99.9
        (["997"], "half_up", [997], (997, 100, 1_097)),  # VAT 99.7
        (["994"], "half_up", [994], (994, 99, 1_093)),  # VAT 99.4
    ],
)
def test_a_supply_is_rounded_once_and_its_lines_add_up(
    gaon: Customer, won: list[str], rounding: str, lines: list[int], total: tuple[int, int, int]
) -> None:
    """Rows 38, 40: amounts in a currency without cents, rounded by line and then added, were a unit beside their sum."""
    Customer.objects.update(rounding=rounding)
    use_each(gaon, models(*won))
    invoice = billed(gaon)
    assert (line_won(invoice), amounts(invoice)) == (lines, total)
    assert broken_checks() == {}


@pytest.mark.parametrize(("rounding", "lines"), [("half_up", [8_501, 1_499]), ("down", [8_500, 1_500])])
def test_a_minimum_fills_up_rounded_usage_to_the_won(gaon: Customer, rounding: str, lines: list[int]) -> None:
    """Row 38: a true-up of 10,000 - 8,500.5 was rounded by itself. Ours is short of what the usage line says: 10,000."""
    Customer.objects.update(rounding=rounding)
    at_least(gaon, 10_000)
    use_each(gaon, models("8500.5"))
    invoice = billed(gaon)
    assert (line_won(invoice), amounts(invoice)) == (lines, (10_000, 1_000, 11_000))


@pytest.mark.parametrize(
    ("won", "rounding", "vat", "vat_by_line"),
    [
        (["1005"] * 3, "half_up", 302, 303),  # 301.5; by line 3 x 101
        (["1005"] * 3, "down", 301, 300),
        (["9998"] * 5, "half_up", 4_999, 5_000),  # 4,999.0; by line 5 x 1,000
        (["9998"] * 5, "down", 4_999, 4_995),
    ],
)
def test_vat_is_a_tenth_of_the_invoice_and_not_of_its_lines(
    gaon: Customer, won: list[str], rounding: str, vat: int, vat_by_line: int
) -> None:
    """Rows 39, 44: tax by line and tax of the sum differ, and neither is wrong. Ours is the sum's, in the mode on the
    document, and the tax invoice has the same."""
    Customer.objects.update(rounding=rounding)
    use_each(gaon, models(*won))
    invoice = billed(gaon)
    supply = sum(int(one) for one in won)
    assert amounts(invoice) == (supply, vat, supply + vat)
    assert vat != vat_by_line
    assert (invoice.rounding, (invoice.document or {})["rounding"]) == (rounding, rounding)
    assert (invoice.tax_invoice.supply_krw, invoice.tax_invoice.vat_krw) == (supply, vat)


def test_a_contract_that_ended_is_billed_for_its_last_usage(gaon: Customer) -> None:
    """Row 40: whoever cancels is billed for what was used until then, once, and for no month after."""
    spend(gaon, 10_000, at="2026-10-20T12:00:00+09:00")
    gaon.status = Customer.Status.CLOSED
    gaon.save()
    assert amounts(billed(gaon)) == (10_000, 1_000, 11_000)
    close()
    close(NOVEMBER, now=LATER)
    assert Invoice.objects.count() == 1
    assert not BillingRunItem.objects.filter(run__month=NOVEMBER.first_on).exists()


def test_ten_thousand_calls_of_a_fraction_of_a_won(gaon: Customer) -> None:
    """Row 45: USD 0.0000025 a call, rounded to four decimals, was nothing. 10,000 are USD 0.025: 25 won, VAT 2.5: 3."""
    price(datetime(2026, 1, 2, tzinfo=UTC), drop="0.0000025")
    usage = {"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1}
    event = {"customer": "gaon", "model": "acme/drop", "dialect": "openai_chat", "usage": usage}
    event["occurred_at"] = "2026-10-15T12:00:00+09:00"
    lines = [json.dumps(event | {"id": f"call-{number}"}).encode() for number in range(10_000)]
    assert {one.status for one in ingest_events(lines=lines, now=NOW, actor=ACTOR)} == {Status.ACCEPTED}
    invoice = billed(gaon)
    assert (invoice.cost_usd, amounts(invoice)) == (Decimal("0.025"), (25, 3, 28))
    assert invoice.lines.get().requests == 10_000
