"""Whatever is agreed, bill, document, API, CSV, PDF, mail, portal, tax invoice and books say the same."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from contextlib import suppress
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from accounts.models import Customer, Membership, User
from billing.audit import check_books
from billing.documents import InvoiceDocument
from billing.mail import invoice_email
from billing.models import BillingDraft, CreditNote, Invoice, PriceCorrection
from billing.pdf import invoice_html, render_invoice
from billing.selectors.bills import month_bill
from billing.selectors.corrections import InvoiceDifference, correction_differences
from billing.services.correcting import approve_correction, propose_correction
from billing.services.steps import begin_steps, confirm_rates, draft_customers, request_drafts
from catalog.models import Price
from catalog.money import Rounding, vat_won
from tests.billing.factories import ACTOR
from tests.billing.money import amounts, at_least, billed, cut, grant, plain_house, spend, zero_rate
from tests.billing.month import DOLLAR, IN_OCTOBER, LATER, NOVEMBER, NOW, OCTOBER, close, open_house, tenant
from tests.usage.test_races import at_once
from tests.usage_api.asking import asked, get, key_of
from usage.services.ingesting import Status, ingest_events

pytestmark = pytest.mark.django_db


@pytest.fixture
def gaon() -> Customer:
    return plain_house()


def agreed(customer: Customer) -> Invoice:
    """Usage 1,000,000; less 100,000 and 50,000; minimum 1,064,516 (22 of 31 days of 1,500,000), so 214,516 more; less
    300,000 of credit: 764,516.
    """
    cut(customer, share="0.1")
    cut(customer, won=50_000, name="파트너 할인", models=["acme/cent"])
    at_least(customer, 1_500_000, first=date(2026, 10, 10))
    grant(customer, 300_000)
    spend(customer, 600_000)
    spend(customer, 400_000, model="acme/cent")
    return billed(customer)


def document_of(invoice: Invoice) -> InvoiceDocument:
    return InvoiceDocument.from_json(invoice.document or {})


def squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


def test_api_and_csv(gaon: Customer) -> None:
    invoice = agreed(gaon)
    secret, _ = key_of(gaon)
    said = asked(secret, f"/billing/v1/invoices/{invoice.number}")
    assert [(line["kind"], int(line["supply"]["amount"])) for line in said["lines"]] == [
        ("usage", 400_000),
        ("usage", 600_000),
        ("discount", -100_000),
        ("discount", -50_000),
        ("minimum", 214_516),
        ("promotion", -300_000),
    ]
    assert [line["share"] for line in said["lines"]] == [None, None, "0.1", None, None, None]
    bases = [line["base"] and int(line["base"]["amount"]) for line in said["lines"]]
    assert bases == [None, None, 1_000_000, 400_000, 1_064_516, None]
    assert (said["supply"]["amount"], said["vat"]["amount"], said["total"]["amount"]) == ("764516", "76452", "840968")
    answer = get(secret, f"/billing/v1/invoices/{invoice.number}/csv")
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [(row[2], int(row[-2])) for row in rows[1:-1]] == [
        (line["kind"], int(line["supply"]["amount"])) for line in said["lines"]
    ]
    assert rows[-1][-2:] == ["764516", ""]


def test_a_line_is_explained_down_to_each_discount(gaon: Customer) -> None:
    """400,000 of acme/cent: a tenth and the whole 50,000 come off, and of 300,000 of credit what it covers."""
    invoice = agreed(gaon)
    secret, _ = key_of(gaon)
    said = asked(secret, f"/billing/v1/invoices/{invoice.number}/lines/1/explain")
    shown = [(one["position"], one["name"], one["amount"]["amount"]) for one in said["discounts"]]
    assert shown == [(3, "약정 할인", "40000"), (4, "파트너 할인", "50000")]
    line = said["line"]
    assert [line[name]["amount"] for name in ("supply", "discount", "promotion")] == ["400000", "90000", "300000"]
    assert said["left"]["amount"] == "10000"
    behind = asked(secret, f"/billing/v1/invoices/{invoice.number}/lines/3/explain")
    assert (behind["kind"], behind["taken"]["amount"]) == ("discount", "100000")


@pytest.mark.parametrize(("share", "anomalies"), [("0.1", []), ("0.16", ["negative_margin"])])
def test_a_discount_below_what_upstreams_charge_is_odd(share: str, anomalies: list[str]) -> None:
    """USD 1 that the upstream charges USD 1 for sells at 1 / 0.85; 16 % off that is 0.988."""
    open_house()
    gaon = tenant()
    cut(gaon, share=share)
    usage = {"prompt_tokens": DOLLAR, "completion_tokens": 0, "total_tokens": DOLLAR, "cost": 1}
    event = {"id": "a", "customer": "gaon", "model": "acme/dollar", "dialect": "openrouter", "usage": usage}
    [result] = ingest_events(lines=[json.dumps(event | {"occurred_at": IN_OCTOBER}).encode()], now=NOW, actor=ACTOR)
    assert result.status == Status.ACCEPTED
    run = confirm_rates(run=begin_steps(month=OCTOBER, actor=ACTOR, now=NOW), actor=ACTOR, reason="seen", now=NOW)
    draft_customers(item_ids=request_drafts(run=run, actor=ACTOR, now=NOW), now=NOW)
    assert BillingDraft.objects.get(item__customer=gaon).anomalies == anomalies


@pytest.mark.parametrize(
    ("locale", "rows"),
    [
        (
            "ko",
            [
                "이용요금1,000.001,000,000",
                "할인·약정할인(1,000,000원의10%)–100,000",
                "할인·파트너할인–50,000",
                "최소이용금액차액(최소이용금액1,064,516원)214,516",
                "프로모션크레딧·첫달무료–300,000",
                "월1,500,000원×22일÷31일(2026-10-10–2026-10-31)=1,064,516.129…→1,064,516원",
                "1,000,000–할인150,000+최소이용금액차액214,516–프로모션크레딧300,000=764,516원",
                "764,516×10%=76,451.6→76,452원",
            ],
        ),
        (
            "en",
            [
                "Usage1,000.001,000,000",
                "Discount·약정할인(10%of₩1,000,000)–100,000",
                "Shortfallofthemonthlyminimum(₩1,064,516)214,516",
                "Promotionalcredit·첫달무료–300,000",
                "1,000,000–discounts150,000+shortfallofthemonthlyminimum214,516–promotionalcredit300,000=₩764,516",
            ],
        ),
    ],
)
def test_the_pdf_can_be_recomputed(gaon: Customer, locale: str, rows: list[str]) -> None:
    gaon.locale = locale
    gaon.save()
    pdf = PdfReader(io.BytesIO(render_invoice(document_of(agreed(gaon)))))
    text = squeezed("".join(page.extract_text() for page in pdf.pages))
    assert [row for row in rows if row not in text] == []


@pytest.mark.parametrize(
    ("locale", "rows"),
    [
        ("ko", ["이용요금₩1,000,000", "할인–₩150,000", "최소이용금액차액₩214,516", "프로모션크레딧–₩300,000"]),
        ("en", ["Usage₩1,000,000", "Discounts–₩150,000", "Shortfallofthemonthlyminimum₩214,516"]),
    ],
)
def test_the_mail_adds_up(gaon: Customer, locale: str, rows: list[str]) -> None:
    gaon.locale = locale
    gaon.save()
    mail = invoice_email(
        document_of(agreed(gaon)), recipient="a@b.example", pdf=b"", message_id="<1@b>", from_email="c@d.example"
    )
    html, _ = mail.alternatives[0]
    for text in (mail.body, re.sub("<[^>]*>", "", str(html))):
        assert [row for row in rows if row not in squeezed(text).replace("-₩", "–₩").replace("−₩", "–₩")] == []


def test_the_portal_shows_an_invoice_with_everything_and_one_without_usage(gaon: Customer) -> None:
    client = Client(headers={"accept-language": "en"})
    user = User.objects.create_user("owner@gaon.example", "x")
    Membership.objects.create(user=user, customer=gaon, role=Membership.Role.OWNER)
    client.force_login(user)
    page = squeezed(client.get(f"/c/gaon/invoices/{agreed(gaon).number}/").content.decode())
    for words in (
        "Usagecharges",
        "(10%of₩1,000,000)",
        "Shortfallofthemonthlyminimumof₩1,064,516",
        '/lines/5/"title="Howthisamountwascalculated">214,516</a>',
    ):
        assert words in page
    idle = Customer.objects.get(pk=gaon.pk)
    zero_rate(idle, first=date(2026, 11, 1))
    empty = billed(idle, NOVEMBER, now=LATER)
    assert amounts(empty) == (1_500_000, 0, 1_500_000)
    page = squeezed(client.get(f"/c/gaon/invoices/{empty.number}/").content.decode())
    assert "VAT(zero-rated)" in page
    assert "Feerate" not in page
    assert client.get(f"/c/gaon/invoices/{empty.number}/lines/1/").status_code == 200
    assert client.get("/c/gaon/").status_code == 200


@pytest.mark.parametrize(
    ("minimum", "difference"),
    [
        (0, -4_500),  # half of 10,000, less the tenth that had been taken off
        (7_000, -2_000),  # 9,000 was billed, 7,000 is owed anyway
        (9_500, 0),  # 500 had to be made up for; without the mistake it would have been 5,000
    ],
)
def test_a_corrected_price_gives_back_what_the_terms_leave(gaon: Customer, minimum: int, difference: int) -> None:
    """Usage of 10,000 under a price that was twice what it should have been."""
    cut(gaon, share="0.1")
    if minimum:
        at_least(gaon, minimum)
    spend(gaon, 10_000)
    assert billed(gaon).supply_krw == max(9_000, minimum)
    made = propose_correction(
        price=Price.objects.get(model__model_id="acme/dollar"),
        components={"prompt": "0.0000005", "completion": "0"},
        reason="typo",
        actor="minji",
        now=LATER,
    )
    assert [one.difference_krw for one in correction_differences(made)] == ([difference] if difference else [])
    notes = approve_correction(correction=made, actor="jun", now=LATER)
    assert [(note.supply_krw, note.vat_krw) for note in notes] == (
        [(-difference, -difference // 10)] if difference else []
    )
    assert [result.violations for result in check_books() if result.violations] == []


def typo(model: str, prompt: str, *, actor: str = "minji") -> PriceCorrection:
    """What a price of acme's should have been per token, as somebody proposes it."""
    return propose_correction(
        price=Price.objects.get(model__model_id=model),
        components={"prompt": prompt, "completion": "0"},
        reason="typo",
        actor=actor,
        now=LATER,
    )


def test_a_discount_of_won_that_a_corrected_line_needs_less_of_is_taken_off_the_others(gaon: Customer) -> None:
    """Usage of 10,000 and 10,000 less 15,000 is 5,000; with the first at a tenth, 11,000 less 11,000: all 5,000 come back,
    though the first line was billed 2,500 only.
    """
    cut(gaon, won=15_000)
    spend(gaon, 10_000)
    spend(gaon, 10_000, model="acme/cent")
    assert amounts(billed(gaon)) == (5_000, 500, 5_500)
    made = typo("acme/dollar", "0.0000001")
    [difference] = correction_differences(made)
    assert [(one.line.model_name, one.difference_krw) for one in difference.lines] == [
        ("acme/cent", -2_500),
        ("acme/dollar", -2_500),
    ]
    [note] = approve_correction(correction=made, actor="jun", now=LATER)
    assert (note.supply_krw, note.vat_krw, note.total_krw) == (5_000, 500, 5_500)
    assert [result.violations for result in check_books() if result.violations] == []


def test_credit_that_a_corrected_line_needs_less_of_pays_for_the_others(gaon: Customer) -> None:
    """Usage of 800 and 800, of which credit pays the 500 of the earlier day: 1,100. With the first at half its price the
    credit pays its 400 and 100 of the second: 700, so 400 come back.
    """
    grant(gaon, 500)
    spend(gaon, 800, at="2026-10-05T12:00:00+09:00")
    spend(gaon, 800, model="acme/cent", at="2026-10-06T12:00:00+09:00")
    assert amounts(billed(gaon)) == (1_100, 110, 1_210)
    made = typo("acme/dollar", "0.0000005")
    [difference] = correction_differences(made)
    assert [(one.line.model_name, one.difference_krw) for one in difference.lines] == [
        ("acme/cent", -100),
        ("acme/dollar", -300),
    ]
    [note] = approve_correction(correction=made, actor="jun", now=LATER)
    assert (note.supply_krw, note.vat_krw) == (400, 40)
    assert [result.violations for result in check_books() if result.violations] == []


def test_the_same_mistake_is_given_back_once(gaon: Customer) -> None:
    """Two people propose the same correction and both are approved; a third goes further and gives only what is new."""
    spend(gaon, 10_000)
    billed(gaon)
    twice = [typo("acme/dollar", "0.0000009"), typo("acme/dollar", "0.0000009", actor="jun")]
    further, back = typo("acme/dollar", "0.0000007"), typo("acme/dollar", "0.0000008")
    approved = [approve_correction(correction=one, actor="sua", now=LATER) for one in (*twice, further, back)]
    assert [[note.supply_krw for note in notes] for notes in approved] == [[1_000], [], [2_000], []]
    assert [result.violations for result in check_books() if result.violations] == []


@pytest.mark.django_db(transaction=True)
def test_approvals_at_the_same_moment_give_it_back_once(gaon: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    def found_a_while_ago(correction: PriceCorrection) -> list[InvoiceDifference]:
        found = correction_differences(correction)
        time.sleep(0.3)  # the others look meanwhile, if they may
        return found

    monkeypatch.setattr("billing.services.correcting.correction_differences", found_a_while_ago)
    at_least(gaon, 9_000)
    spend(gaon, 6_000)
    spend(gaon, 6_000, model="acme/cent")
    assert billed(gaon).supply_krw == 12_000
    halves = [typo("acme/dollar", "0.0000005"), typo("acme/cent", "0.000000005")]
    at_once(*[partial(approve_correction, correction=one, actor="sua", now=LATER) for one in halves])
    assert list(CreditNote.objects.values_list("supply_krw", flat=True)) == [3_000]
    assert PriceCorrection.objects.filter(status="approved").count() == 2
    assert [result.violations for result in check_books() if result.violations] == []


@pytest.mark.parametrize(
    ("minimum", "notes"),
    [
        (0, [[2_700], [2_700]]),  # halves of 6,000, less the tenth that had been taken off
        (7_000, [[2_700], [1_100]]),  # 10,800, 8,100, and 5,400 for which 7,000 are owed
        (9_000, [[1_800], []]),
    ],
)
def test_corrections_of_two_prices_leave_the_minimum_once(gaon: Customer, minimum: int, notes: list[list[int]]) -> None:
    cut(gaon, share="0.1")
    if minimum:
        at_least(gaon, minimum)
    spend(gaon, 6_000)
    spend(gaon, 6_000, model="acme/cent")
    assert billed(gaon).supply_krw == 10_800
    halves = [typo("acme/dollar", "0.0000005"), typo("acme/cent", "0.000000005")]
    approved = [approve_correction(correction=one, actor="sua", now=LATER) for one in halves]
    assert [[note.supply_krw for note in made] for made in approved] == notes
    assert [result.violations for result in check_books() if result.violations] == []


class Undo(Exception):
    """Ends an example without a trace."""


CORRECTED = st.lists(st.sampled_from(["acme/dollar", "acme/cent"]), min_size=1, max_size=4)


TERMS = st.fixed_dictionaries(
    {
        "shares": st.lists(st.decimals("0.00001", "0.99999", places=5).map(str), max_size=3),
        "won": st.lists(st.integers(1, 500_000), max_size=2),
        "minimum": st.one_of(st.none(), st.tuples(st.integers(1, 900_000), st.integers(1, 31))),
        "credit": st.integers(0, 400_000),
        "usage": st.lists(st.integers(1, 300_000), max_size=3),
        "is_zero_rated": st.booleans(),
        "rounding": st.sampled_from(list(Rounding)),
        "in_dollars": st.booleans(),
    }
)


def test_any_terms_add_up_on_everything(gaon: Customer) -> None:
    secret, _ = key_of(gaon)

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(terms=TERMS)
    def run(terms: dict[str, object]) -> None:
        with suppress(Undo), transaction.atomic():
            _agree(gaon, terms)
            preview = month_bill(gaon, OCTOBER)
            if preview is None or preview.is_nothing:
                close()
                assert not Invoice.objects.exists()
            else:
                invoice = billed(gaon)
                _require_agreement(invoice, secret, is_zero_rated=bool(terms["is_zero_rated"]))
                assert document_of(invoice).lines == preview.document_lines
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            assert [result.violations for result in check_books() if result.violations] == []
            raise Undo

    run()


def test_any_corrections_leave_what_the_corrected_prices_come_to(gaon: Customer) -> None:
    """Each correction halves a price once more; a twin under the same terms used so much less at the old prices. What was
    billed too little, because credit paid what a minimum would have been, is not charged afterwards. Each usage is halved up
    to four times in whole won: which line bears the won of a rounding is as good either way.
    """
    twin = tenant("twin")
    first = {
        model: Price.objects.get(model__model_id=model).components["prompt"] for model in ("acme/dollar", "acme/cent")
    }

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(terms=TERMS, corrected=CORRECTED)
    def run(terms: dict[str, Any], corrected: list[str]) -> None:
        terms |= {"usage": [16 * won for won in terms["usage"]]}
        with suppress(Undo), transaction.atomic():
            _agree(gaon, terms)
            preview = month_bill(gaon, OCTOBER)
            if preview is None or preview.is_nothing:
                raise Undo
            left = least = billed(gaon).supply_krw
            for count, model in enumerate(corrected, start=1):
                halved = {each: 2 ** corrected[:count].count(each) for each in first}
                made = typo(model, format(Decimal(first[model]) / halved[model], "f"))
                left -= sum(note.supply_krw for note in approve_correction(correction=made, actor="sua", now=LATER))
                least = min(least, _supply_krw(twin, terms | {"divisors": halved}))
                assert left == least
            assert [result.violations for result in check_books() if result.violations] == []
            raise Undo

    run()


def _supply_krw(customer: Customer, terms: dict[str, Any]) -> int:
    """What October comes to under these terms; nothing of it stays."""
    with transaction.atomic():
        _agree(customer, terms)
        bill = month_bill(customer, OCTOBER)
        transaction.set_rollback(True)
    return 0 if bill is None else bill.totals.supply_krw


def _agree(customer: Customer, terms: dict) -> None:  # type: ignore[type-arg]
    currency = "USD" if terms["in_dollars"] else "KRW"
    Customer.objects.filter(pk=customer.pk).update(rounding=terms["rounding"], invoice_currency=currency)
    customer.refresh_from_db()
    for share in terms["shares"]:
        cut(customer, share=share)
    for won in terms["won"]:
        cut(customer, won=won, models=["acme/dollar"])
    if terms["minimum"] is not None:
        won, day = terms["minimum"]
        at_least(customer, won, first=date(2026, 10, day))
    if terms["credit"]:
        grant(customer, terms["credit"])
    if terms["is_zero_rated"]:
        zero_rate(customer)
    for number, won in enumerate(terms["usage"]):
        model = "acme/cent" if number % 2 else "acme/dollar"
        spend(customer, won, model=model, divisor=terms.get("divisors", {}).get(model, 1))


def _require_agreement(invoice: Invoice, secret: str, *, is_zero_rated: bool) -> None:
    document = document_of(invoice)
    supply, vat, total = amounts(invoice)
    assert sum(line.amount_krw for line in document.lines) == supply >= 0
    assert vat == (0 if is_zero_rated else vat_won(supply, Rounding(invoice.rounding)))
    assert (
        (document.supply_krw, document.vat_krw, document.total_krw)
        == (supply, vat, total)
        == (
            supply,
            vat,
            supply + vat,
        )
    )
    left = document.usage_krw - document.discount_krw
    assert left + document.shortfall_krw == max(left, document.minimum_krw)
    assert document.promotion_krw <= left
    said = asked(secret, f"/billing/v1/invoices/{invoice.number}")
    assert [int(line["supply"]["amount"]) for line in said["lines"]] == [line.amount_krw for line in document.lines]
    assert tuple(int(said[name]["amount"]) for name in ("supply", "vat", "total")) == (supply, vat, total)
    answer = get(secret, f"/billing/v1/invoices/{invoice.number}/csv")
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [int(row[-2]) for row in rows[1:]] == [*(line.amount_krw for line in document.lines), supply]
    page = invoice_html(document)
    if document.dollars is not None:
        _require_dollars(invoice, document, said, [row[-1] for row in rows[1:]], page)
    assert f"₩{supply:,}" in page
    assert f"₩{total:,}" in page
    if supply:
        tax = invoice.tax_invoice
        assert (tax.supply_krw, tax.vat_krw, tax.total_krw) == (supply, vat, total)
        assert tax.type_code == ("0102" if is_zero_rated else "0101")
    assert Decimal(said["cost"]["amount"]) == invoice.cost_usd


def _require_dollars(
    invoice: Invoice, document: InvoiceDocument, said: dict[str, Any], column: list[str], page: str
) -> None:
    """Row, document, API, CSV and paper say the same dollars, and they add up to the cent."""
    dollars, rate = document.dollars, Fraction(invoice.exchange_rate or 0)
    assert dollars is not None
    in_cents = [(invoice.supply_krw, dollars.supply_usd), (invoice.vat_krw, dollars.vat_usd)]
    assert all(abs(krw / rate - Fraction(usd)) <= Fraction(1, 200) for krw, usd in in_cents)
    lines = [str(line.amount_usd) for line in document.lines]
    assert sum(map(Decimal, lines)) == dollars.supply_usd
    assert column == [*lines, str(dollars.supply_usd)]
    assert [line["supply_usd"]["amount"] for line in said["lines"]] == lines
    of_row = (invoice.supply_usd, invoice.vat_usd, invoice.total_usd)
    assert of_row == (dollars.supply_usd, dollars.vat_usd, dollars.total_usd)
    assert [said["dollars"][name]["amount"] for name in ("supply", "vat", "total")] == list(map(str, of_row))
    assert said["dollars"]["due"]["amount"] == str(dollars.total_usd)
    assert f"US${dollars.total_usd:,}" in page
