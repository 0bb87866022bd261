"""The frozen document: exact through JSON, and refusing what would not add up on paper."""

import json
from dataclasses import FrozenInstanceError, replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from billing.documents import DailyExchange, ExchangeEvidence, InvoiceDocument
from billing.frozen import DocumentError
from catalog.money import Rounding, exact_sum
from tests.documents.samples import (
    CORPORATION,
    DOLLAR_ACCOUNT,
    FOREIGN,
    MONTH_END,
    OCTOBER,
    SOLE_TRADER,
    daily_exchange,
    in_dollars,
    invoice,
    line,
    lines_of,
    supplementary,
)

DAILY = daily_exchange(exact_sum(one.cost_usd for one in lines_of()))
FIXED = ExchangeEvidence(rule="fixed", rate=Decimal("1400"), source="contract", source_date=None)


def stored(document: InvoiceDocument) -> Any:
    """What comes back from a JSON column."""
    return json.loads(json.dumps(document.to_json()))


@pytest.mark.parametrize(
    "document",
    [
        invoice(),
        invoice(locale="en", buyer=FOREIGN, exchange=FIXED),
        invoice(buyer=SOLE_TRADER, exchange=DAILY, rounding=Rounding.DOWN),
        invoice([*lines_of(), supplementary(6, OCTOBER[1])], margin=Decimal("0")),
        invoice([line(1, ("M", "m", 1, 2, 0, 3, "0.00000008333333333333334"))]),
        in_dollars(invoice(), bank_account=DOLLAR_ACCOUNT),
    ],
    ids=["month_end", "fixed", "daily", "supplementary", "23 decimals", "dollars"],
)
def test_document_survives_storage_exactly(document: InvoiceDocument) -> None:
    assert InvoiceDocument.from_json(stored(document)) == document
    assert InvoiceDocument.from_json(stored(document)).to_json() == document.to_json()


def test_stored_members_are_plain() -> None:
    raw = stored(invoice([line(1, ("M", "m", 1, 2, 0, 3, "0.00000008333333333333334"))]))
    assert raw["cost_usd"] == "0.00000008333333333333334"
    assert raw["supply_krw"] == 0
    assert raw["issued_on"] == "2026-11-02"
    assert raw["exchange"] == {
        "rule": "month_end",
        "rate": "1432.60",
        "source": "서울외국환중개",
        "source_date": "2026-10-30",
        "daily": [],
    }


def test_an_exponent_is_stored_as_digits() -> None:
    raw = stored(invoice(exchange=replace(MONTH_END, rate=Decimal("1.4E+3"))))
    assert raw["exchange"]["rate"] == "1400"


def test_document_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        invoice().total_krw = 1  # type: ignore[misc]


def test_daily_base_is_the_sum_of_the_days() -> None:
    days = (
        DailyExchange(
            used_on=date(2026, 10, 1), cost_usd=Decimal(1), rate=Decimal("1400.5"), source_date=date(2026, 10, 1)
        ),
        DailyExchange(
            used_on=date(2026, 10, 4), cost_usd=Decimal(2), rate=Decimal("1410.0"), source_date=date(2026, 10, 2)
        ),
    )
    exchange = ExchangeEvidence(rule="daily", rate=None, source="s", source_date=None, daily=days)
    document = invoice([line(1, ("M", "m", 1, 2, 0, 3, "3"))], exchange=exchange, margin=Decimal("0.5"))
    assert document.base_krw == Decimal("4220.5")
    assert document.supply_krw == 8441


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"total_krw": 1_008_381}, "total_krw"),
        ({"vat_krw": 91_670}, "total_krw"),
        ({"supply_krw": 916_710, "total_krw": 1_008_381}, "supply_krw"),
        ({"vat_krw": 0, "total_krw": 916_709}, "vat_krw"),
        ({"cost_usd": Decimal("543.907970")}, "cost_usd"),
        ({"cost_usd": Decimal("NaN")}, "cost_usd"),
        ({"lines": ()}, "lines"),
        ({"margin": Decimal("1")}, "margin"),
        ({"margin": Decimal("-0.1")}, "margin"),
        ({"margin": Decimal("0.2")}, "supply_krw"),
        ({"exchange": replace(MONTH_END, rate=Decimal("1432.70"))}, "supply_krw"),
        ({"exchange": replace(DAILY, daily=DAILY.daily[:-1])}, "daily"),
        ({"locale": "de"}, "locale"),
        ({"rounding": "up"}, "rounding"),
        ({"month": "2026-13"}, "month"),
        ({"month": "２０２６-10"}, "month"),
        ({"period_end_on": date(2026, 10, 30)}, "period_start_on"),
    ],
)
def test_what_does_not_add_up_is_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(DocumentError) as refusal:
        replace(invoice(), **changes)
    assert refusal.value.field == field


def dollars(**changes: Any) -> dict[str, Any]:
    """US$639.89 + 63.99 of the sample, with changes."""
    amounts = in_dollars(invoice()).dollars
    assert amounts is not None
    return {"dollars": replace(amounts, **changes)}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        (lambda: {"dollars": None}, "amount_usd"),
        (lambda: {"lines": invoice().lines}, "amount_usd"),
        (lambda: dollars(total_usd=Decimal("703.87")), "total_usd"),
        (lambda: dollars(supply_usd=Decimal("639.90"), total_usd=Decimal("703.89")), "supply_usd"),
        (lambda: dollars(vat_usd=Decimal("63.98"), total_usd=Decimal("703.87")), "vat_usd"),
        (lambda: dollars(vat_usd=Decimal("NaN")), "dollars"),
        (
            lambda: {"lines": tuple(replace(one, amount_usd=Decimal("1.00")) for one in invoice().lines)},
            "supply_usd",
        ),
    ],
)
def test_dollars_that_are_not_the_won_are_refused(changes: Any, field: str) -> None:
    with pytest.raises(DocumentError) as refusal:
        replace(in_dollars(invoice()), **changes())
    assert refusal.value.field == field


def test_a_month_of_many_rates_has_no_dollars() -> None:
    document = in_dollars(invoice())
    daily = invoice(exchange=DAILY)
    lines = tuple(replace(one, amount_usd=Decimal("1.00")) for one in daily.lines)
    with pytest.raises(DocumentError) as refusal:
        replace(daily, lines=lines, dollars=document.dollars)
    assert refusal.value.field == "dollars"


def test_what_is_due_in_dollars_after_a_prepayment() -> None:
    document = in_dollars(invoice(prepaid_krw=500_000))
    assert (document.due_krw, str(document.due_usd)) == (508_380, "354.86")  # 703.88 x 508,380 / 1,008,380
    assert invoice().due_usd is None


@pytest.mark.parametrize(
    "lines",
    [
        (line(2),),
        (line(1), line(1)),
        (line(1, kind="supplementary"),),
        (line(1, month="2026-09"),),
        (line(1, month="2026-11", kind="supplementary"),),
    ],
    ids=["position from 1", "position twice", "this month as supplementary", "other month as usage", "later month"],
)
def test_misplaced_lines_are_refused(lines: tuple[Any, ...]) -> None:
    with pytest.raises(DocumentError) as refusal:
        invoice(lines)
    assert refusal.value.field == "lines"


@pytest.mark.parametrize(
    ("evidence", "field"),
    [
        ({"rule": "weekly"}, "rule"),
        ({"rate": None}, "rate"),
        ({"rate": Decimal("0")}, "rate"),
        ({"rate": Decimal("Infinity")}, "rate"),
        ({"source_date": None}, "source_date"),
        ({"daily": DAILY.daily}, "daily"),
        ({"rule": "daily"}, "rate"),
        ({"rule": "daily", "rate": None, "daily": DAILY.daily[::-1]}, "daily"),
        ({"rule": "daily", "rate": None, "daily": DAILY.daily[:1] * 2}, "daily"),
    ],
)
def test_contradictory_exchange_evidence_is_refused(evidence: dict[str, Any], field: str) -> None:
    with pytest.raises(DocumentError) as refusal:
        replace(MONTH_END, **evidence)
    assert refusal.value.field == field


@pytest.mark.parametrize("number", ["220-87-04561", "220870456", "２２０８７０４５６１", ""])
def test_domestic_registration_number_is_ten_digits(number: str) -> None:
    with pytest.raises(DocumentError) as refusal:
        replace(CORPORATION, registration_no=number)
    assert refusal.value.field == "registration_no"


def without(raw: dict[str, Any], member: str) -> dict[str, Any]:
    return {name: value for name, value in raw.items() if name != member}


@pytest.mark.parametrize(
    ("damage", "field"),
    [
        (lambda raw: without(raw, "seller_phone"), "document"),
        (lambda raw: raw | {"discount_krw": 0}, "document"),
        (lambda raw: raw | {"total_krw": "1008380"}, "document.total_krw"),
        (lambda raw: raw | {"total_krw": 1008380.0}, "document.total_krw"),
        (lambda raw: raw | {"vat_krw": True}, "document.vat_krw"),
        (lambda raw: raw | {"cost_usd": 543.907971}, "document.cost_usd"),
        (lambda raw: raw | {"cost_usd": "5.4E+2"}, "document.cost_usd"),
        (lambda raw: raw | {"margin": "NaN"}, "document.margin"),
        (lambda raw: raw | {"issued_on": "2026-02-30"}, "document.issued_on"),
        (lambda raw: raw | {"issued_on": "20261102"}, "document.issued_on"),
        (lambda raw: raw | {"seller": None}, "document.seller"),
        (lambda raw: raw | {"buyer": without(raw["buyer"], "email")}, "document.buyer"),
        (lambda raw: raw | {"lines": {}}, "document.lines"),
        (lambda raw: raw | {"lines": [raw["lines"][0] | {"requests": None}]}, "document.lines[0].requests"),
        (lambda raw: raw | {"number": 7}, "document.number"),
        (lambda raw: raw | {"total_krw": 1}, "total_krw"),
    ],
)
def test_damaged_json_is_refused_by_the_name_of_the_member(damage: Any, field: str) -> None:
    with pytest.raises(DocumentError) as refusal:
        InvoiceDocument.from_json(damage(stored(invoice())))
    assert refusal.value.field == field
