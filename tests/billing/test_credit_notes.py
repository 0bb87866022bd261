"""Credit notes by line, voiding and issuing anew: the won that come back, their VAT, and who holds what afterwards."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client

from accounts.errors import DomainError
from accounts.models import Customer, User
from billing.audit import check_books
from billing.errors import AlreadyDecided, CreditNoteStands, InvoiceIsCredited, NotCreditable, NothingToBill, SamePerson
from billing.models import CreditNote, CreditNoteLine, Invoice, LedgerEntry, PriceCorrection
from billing.selectors.corrections import correction_differences
from billing.selectors.credit_notes import creditable_krw
from billing.services.allocating import allocate_payment, reverse_allocation, write_off_invoice
from billing.services.correcting import approve_correction, propose_correction
from billing.services.crediting import issue_credit_note, reissue_invoice, void_invoice
from billing.services.margins import set_margin
from billing.services.paying import record_payment
from catalog.models import Price
from tests.billing.commands import run
from tests.billing.month import ACTOR, DOLLAR, LATER, OCTOBER, close, open_house, publish, tenant, use

pytestmark = pytest.mark.django_db


@pytest.fixture
def invoice(db: None) -> Invoice:
    """USD 1 and 0.5 at 1,400 and 15 %: 824 (acme/cent, line 1) + 1,647 = 2,471, VAT 247, total 2,718."""
    open_house()
    customer = tenant()
    use(customer, DOLLAR)
    use(customer, 50 * DOLLAR, model="acme/cent")
    close()
    made = Invoice.objects.get()
    assert (made.supply_krw, made.vat_krw, made.total_krw) == (2471, 247, 2718)
    return made


def credit(invoice: Invoice, amounts: dict[int, int], *, now: datetime = LATER) -> CreditNote:
    return issue_credit_note(
        invoice=invoice, amounts_krw=amounts, amendment_code="01", reason="계량 오류", actor=ACTOR, now=now
    )


def pay(customer: Customer, invoice: Invoice, amount: int):
    payment = record_payment(
        reference=f"bank-{amount}", received_at=LATER, amount_krw=amount, depositor_name="가온", customer=customer,
        actor=ACTOR, now=LATER,
    )  # fmt: skip
    allocate_payment(payment=payment, invoice=invoice, actor=ACTOR, now=LATER)
    payment.refresh_from_db()
    return payment


def balance(account: str) -> int:
    return int(sum(entry.amount for entry in LedgerEntry.objects.filter(account=account)))


def violations() -> list[str]:
    return [text for result in check_books() for text in result.violations]


def test_a_line_is_credited_with_its_vat(invoice: Invoice) -> None:
    """500 of 824 won: 2,471 - 500 = 1,971 leaves VAT 197, so the note takes 50 of 247."""
    note = credit(invoice, {1: 500})
    assert (note.number, note.supply_krw, note.vat_krw, note.total_krw) == ("CN-202612-0001", 500, 50, 550)
    invoice.refresh_from_db()
    assert (invoice.status, invoice.due_krw, invoice.total_krw) == ("issued", 2168, 2718)
    assert [creditable_krw(line) for line in invoice.lines.all()] == [324, 1647]
    assert (balance("revenue"), balance("vat_payable"), balance("receivable")) == (-1971, -197, 2168)
    assert balance("unapplied") == 0
    assert violations() == []


def test_notes_that_credit_everything_take_back_the_vat_to_the_won(invoice: Invoice) -> None:
    """Five notes of odd amounts: each rounds, all together are the invoice."""
    notes = [credit(invoice, amounts) for amounts in ({1: 1}, {1: 333, 2: 4}, {2: 5}, {1: 490}, {2: 1638})]
    assert [note.vat_krw for note in notes] == [0, 34, 0, 49, 164]
    assert (sum(note.supply_krw for note in notes), sum(note.vat_krw for note in notes)) == (2471, 247)
    invoice.refresh_from_db()
    assert (invoice.status, invoice.due_krw) == ("paid", 0)
    assert {balance(account) for account in ("revenue", "vat_payable", "receivable", "unapplied")} == {0}
    with pytest.raises(NotCreditable):
        credit(invoice, {1: 1})
    assert [note.number for note in CreditNote.objects.order_by("pk")] == [f"CN-202612-000{n}" for n in range(1, 6)]


@pytest.mark.parametrize(
    ("amounts", "field"),
    [({3: 1}, "lines.3"), ({1: 825}, "lines.1"), ({1: 0}, "lines.1"), ({2: -1}, "lines.2"), ({}, "lines")],
)
def test_what_can_t_be_credited_is_refused_whole(invoice: Invoice, amounts: dict[int, int], field: str) -> None:
    with pytest.raises(DomainError) as refusal:
        credit(invoice, {2: 1, **amounts} if amounts and 2 not in amounts else amounts)
    assert getattr(refusal.value, "field", None) == field
    assert CreditNote.objects.count() == 0


def test_a_paid_invoice_gives_back_what_is_credited(invoice: Invoice) -> None:
    payment = pay(invoice.customer, invoice, 2718)
    assert payment.unapplied_krw == 0
    note = credit(invoice, {1: 824})
    payment.refresh_from_db()
    invoice.refresh_from_db()
    assert (note.total_krw, invoice.status, invoice.due_krw, payment.unapplied_krw) == (906, "paid", 0, 906)
    assert balance("unapplied") == -906
    assert violations() == []


def test_a_partly_paid_invoice_is_settled_first(invoice: Invoice) -> None:
    """718 open; a note of 906 frees 188 of the 2,000 that were paid."""
    payment = pay(invoice.customer, invoice, 2000)
    credit(invoice, {1: 824})
    payment.refresh_from_db()
    invoice.refresh_from_db()
    assert (invoice.status, invoice.due_krw, payment.unapplied_krw) == ("paid", 0, 188)
    assert violations() == []


def test_what_was_given_up_stays_given_up(invoice: Invoice) -> None:
    """2,718: 1,718 paid, 1,000 given up. A note of 550 leaves 450 of the loss and nothing due."""
    payment = pay(invoice.customer, invoice, 1718)
    write_off_invoice(invoice=invoice, reason="수수료", actor=ACTOR, now=LATER)
    credit(invoice, {1: 500})
    invoice.refresh_from_db()
    payment.refresh_from_db()
    assert (invoice.status, invoice.due_krw, payment.unapplied_krw) == ("paid", 0, 0)
    assert (balance("write_offs"), balance("receivable")) == (450, 0)
    assert violations() == []


def test_what_a_credit_note_settled_stays_settled(invoice: Invoice) -> None:
    note = credit(invoice, {1: 500})
    with pytest.raises(CreditNoteStands):
        reverse_allocation(allocation=note.allocation, reason="x", actor=ACTOR, now=LATER)
    desk = Client()
    desk.force_login(User.objects.create_superuser("kim@operator.example"))
    path = f"/admin/billing/allocation/{note.allocation.pk}/"
    assert (
        "reverse" not in desk.get(f"{path}change/").content.decode().partition("object-tools")[2].partition("</ul>")[0]
    )
    assert violations() == []


def test_the_database_refuses_more_than_a_line_has(invoice: Invoice) -> None:
    note = credit(invoice, {1: 800})
    line = invoice.lines.get(position=1)
    with pytest.raises(IntegrityError, match=r"do not add up|more is taken"), transaction.atomic():
        CreditNoteLine.objects.create(credit_note=note, invoice_line=invoice.lines.get(position=2), amount_krw=25)
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for change in ("UPDATE billing_creditnote SET supply_krw = 1", "DELETE FROM billing_creditnoteline"):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(change)
    assert creditable_krw(line) == 24


def test_a_voided_invoice_is_issued_anew_by_the_terms_of_today(invoice: Invoice) -> None:
    payment = pay(invoice.customer, invoice, 2718)
    set_margin(customer=invoice.customer, margin=Decimal("0.3"), effective_from=OCTOBER.first_on, actor=ACTOR)
    with pytest.raises(NotCreditable):
        reissue_invoice(invoice=invoice, actor=ACTOR, now=LATER)
    void_invoice(invoice=invoice, reason="요율 오류", actor=ACTOR, now=LATER)
    payment.refresh_from_db()
    assert (invoice.status, payment.unapplied_krw) == ("void", 2718)
    assert (balance("revenue"), balance("vat_payable"), balance("receivable")) == (0, 0, 0)
    made = reissue_invoice(invoice=invoice, actor=ACTOR, now=LATER + timedelta(hours=1))
    assert (made.number, made.supply_krw, made.vat_krw, made.total_krw) == ("INV-202610-0002", 3000, 300, 3300)
    assert (made.period_id, made.month) == (invoice.period_id, invoice.month)
    with pytest.raises(NotCreditable):
        reissue_invoice(invoice=invoice, actor=ACTOR, now=LATER)
    assert violations() == []


def test_an_invoice_with_credit_notes_is_not_voided(invoice: Invoice) -> None:
    credit(invoice, {1: 1})
    with pytest.raises(InvoiceIsCredited):
        void_invoice(invoice=invoice, reason="x", actor=ACTOR, now=LATER)
    invoice.refresh_from_db()
    assert invoice.status == "issued"


def test_a_void_month_waits_to_be_issued_anew_and_comes_to_nothing_sometimes() -> None:
    """0.5 won of usage were a won; rounded down it is nothing, and no invoice of 0 won takes a number."""
    open_house(margin="0", rate="1000")
    customer = tenant()
    use(customer, DOLLAR // 2_000)
    close()
    invoice = Invoice.objects.get()
    void_invoice(invoice=invoice, reason="x", actor=ACTOR, now=LATER)
    [found] = violations()
    assert found.endswith(" are on no invoice in force: issue the void one anew")
    Customer.objects.filter(pk=customer.pk).update(rounding="down")
    invoice.refresh_from_db()
    with pytest.raises(NothingToBill):
        reissue_invoice(invoice=Invoice.objects.get(), actor=ACTOR, now=LATER)
    assert Invoice.objects.count() == 1


def corrected(invoice: Invoice, prompt: str):
    """acme/dollar should have cost so much per token; lee looked at it and approved."""
    price = Price.objects.get(model__model_id="acme/dollar")
    proposal = propose_correction(
        price=price, components={"prompt": prompt, "completion": "0"}, reason="단가 오류", actor="kim", now=LATER
    )
    return proposal


def test_a_corrected_price_shows_the_difference_and_is_credited_on_approval(invoice: Invoice) -> None:
    """USD 1 -> 0.9: the exact supply falls by 164.70... to 2,305.88..., so 165 won and 17 VAT come back."""
    proposal = corrected(invoice, "0.0000009")
    [difference] = correction_differences(proposal)
    [line] = difference.lines
    assert (line.line.position, str(line.stored_usd.normalize()), str(line.corrected_usd.normalize())) == (
        2,
        "1",
        "0.9",
    )
    assert (line.difference_krw, difference.difference_krw, CreditNote.objects.count()) == (-165, -165, 0)
    with pytest.raises(SamePerson):
        approve_correction(correction=proposal, actor="kim", now=LATER)
    [note] = approve_correction(correction=proposal, actor="lee", now=LATER)
    assert (note.supply_krw, note.vat_krw, note.total_krw, note.reason) == (165, 16, 181, "단가 오류")
    with pytest.raises(AlreadyDecided):
        approve_correction(correction=proposal, actor="lee", now=LATER)
    assert violations() == []


def test_a_price_that_was_too_low_is_shown_and_not_charged_afterwards(invoice: Invoice) -> None:
    proposal = corrected(invoice, "0.000002")
    [difference] = correction_differences(proposal)
    assert difference.difference_krw == 1647
    assert approve_correction(correction=proposal, actor="lee", now=LATER) == []


def test_a_correction_under_the_daily_rule_takes_each_days_rate() -> None:
    """USD 1 at 1,300 and USD 1 at 1,500, both half price: (650 + 750) / 0.85 = 1,647.05... of 3,294.1 come back."""
    open_house(rate=None)
    publish(date(2026, 10, 5), "1300")
    publish(date(2026, 10, 6), "1500")
    customer = tenant(exchange_rule="daily")
    for day in (5, 6):
        use(customer, DOLLAR, at=f"2026-10-0{day}T12:00:00+09:00")
    close()
    [difference] = correction_differences(corrected(Invoice.objects.get(), "0.0000005"))
    assert (difference.invoice.supply_krw, difference.difference_krw) == (3294, -1647)


def test_two_notes_at_once_never_take_more_than_the_line_has(transactional_db: None) -> None:
    open_house()
    customer = tenant()
    use(customer, DOLLAR)
    close()
    made = Invoice.objects.get()

    def once(_number: int) -> str:
        try:
            return credit(Invoice.objects.get(pk=made.pk), {1: 1000}).number
        except NotCreditable as refusal:
            return refusal.code
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        answers = sorted(threads.map(once, range(4)))
    assert answers == ["CN-202612-0001", "not_creditable", "not_creditable", "not_creditable"]


def test_the_command_credits_voids_and_issues_anew(invoice: Invoice) -> None:
    start = ("credit_invoice", "INV-202610-0001", "--actor", "kim@operator.example")
    code, answer = run(*start, "--line", "1=500", "--reason", "계량 오류")
    assert (code, answer["supply_krw"], answer["vat_krw"], answer["due_krw"]) == (0, 500, 50, 2168)
    code, answer = run(*start, "--line", "1=325", "--reason", "x")
    assert (code, answer["error"]["code"], answer["error"]["field"]) == (2, "not_creditable", "lines.1")
    code, answer = run(*start, "--line", "x", "--reason", "x")
    assert (code, answer["error"]["field"]) == (2, "line")
    assert run(*start, "--line", "1=324", "--reason", "x")[0] == 0
    assert (
        run(*start, "--line", "1=1", "--reason", "x")[1]["error"]["message"]
        == "line 1: nothing of it is left to credit"
    )
    assert run(*start, "--line", "2=1", "--reason", "x", "--code", "03")[1]["error"]["field"] == "code"
    for nobody in ("", " ", "x" * 201):
        code, answer = run(*start[:3], nobody, "--line", "2=1", "--reason", "x")
        assert (code, answer["error"]["field"]) == (2, "actor")
    assert CreditNote.objects.count() == 2
    code, answer = run(*start, "--void", "--reason", "x")
    assert (code, answer["error"]["code"]) == (2, "invoice_is_credited")
    assert run("credit_invoice", "INV-1", "--actor", "kim", "--void")[1]["error"]["code"] == "not_found"


def test_operators_credit_and_void_with_the_figures_before_them(invoice: Invoice) -> None:
    desk = Client(headers={"accept-language": "en"})
    desk.force_login(User.objects.create_superuser("kim@operator.example"))
    path = f"/admin/billing/invoice/{invoice.pk}"
    assert "acme/dollar" in desk.get(f"{path}/credit/").content.decode()
    answers = {"lines": "1: 500\n2: 1,000", "amendment_code": "01", "reason": "metering error"}
    assert desk.post(f"{path}/credit/", answers | {"lines": "one: 500"}).context["form"].errors["lines"]
    assert desk.post(f"{path}/credit/", answers).status_code == 302
    note = CreditNote.objects.get()
    assert (note.supply_krw, note.actor) == (1500, "kim@operator.example")
    refused = desk.post(f"{path}/void/", {"reason": "x", "amendment_code": "01"})
    assert "has credit notes" in str(refused.context["form"].errors)
    price = Price.objects.get(model__model_id="acme/dollar")
    proposal = {"price_id": price.pk, "components": '{"prompt": "0.0000009", "completion": "0"}', "reason": "x"}
    assert desk.post("/admin/billing/pricecorrection/add/", proposal).status_code == 302
    page = f"/admin/billing/pricecorrection/{PriceCorrection.objects.get().pk}/approve/"
    assert "-165" in desk.get(page).content.decode()
    assert "somebody else has to approve it" in str(desk.post(page).context["form"].errors)
