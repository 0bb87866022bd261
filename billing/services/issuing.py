"""Turning computed bills into issued invoices with everything that follows from them, in one transaction.

First everything is computed (`plan_invoice`), where one customer's trouble is its own; then it is written in sets.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db import connection, transaction

from accounts.models import Customer, SellerProfile, TaxProfile
from accounts.services import record_audits
from billing.documents import BankAccount, DollarAmounts, InvoiceDocument, Party, ZeroRate
from billing.margins import Basis
from billing.models import Invoice, InvoiceLine, NumberSequence, Prepayment, TaxInvoice, ZeroRating
from billing.pdf import TEMPLATE_VERSION
from billing.selectors.bills import MonthBill
from billing.selectors.deadlines import TaxInvoiceDates, tax_invoice_dates
from billing.selectors.prepayments import drawn, waiting_prepayments
from billing.selectors.previews import Identities, load_identities
from billing.services.allocating import Settlement, settle_all
from billing.services.amending import state_anew
from billing.services.copying import copy_rows
from billing.services.delivering import enqueue_deliveries
from billing.services.granting import use_credits
from billing.services.posting import Booking, invoice_booking, post_transactions
from billing.services.taxing import record_tax_invoices, tax_record
from catalog.money import ZERO
from usage.models import BillingPeriod
from usage.periods import KST, BillingMonth

_COUNT_UP = f"""
INSERT INTO {NumberSequence._meta.db_table} (series, last_number) VALUES (%s, 1)
ON CONFLICT (series) DO UPDATE SET last_number = billing_numbersequence.last_number + 1
"""  # noqa: S608 - the table name is our model's
_ISSUE = """
UPDATE billing_invoice AS invoice
SET number = issued.number, status = issued.status, issued_at = %s, issued_on = issued.issued_on, due_on = issued.due_on,
    document = issued.document
FROM jsonb_to_recordset(%s::jsonb)
     AS issued (id bigint, number text, status text, issued_on date, due_on date, document jsonb)
WHERE invoice.id = issued.id
"""

#: Stands in the document until the number is taken, which happens last.
UNNUMBERED = "-"


@dataclass(frozen=True, slots=True)
class IssuingFacts:
    """What the invoices of some customers need besides their bills; read once for all of them."""

    issued_on: date
    identities: Identities
    prepayments: Mapping[int, list[Prepayment]]
    dates: TaxInvoiceDates


@dataclass(frozen=True, slots=True)
class PlannedInvoice:
    """An invoice as it will be issued, computed whole before anything of it is written; only its number is missing.

    `payments` are what prepayments give. Without a supply (all of it given away) there is no tax invoice.
    """

    customer: Customer
    bill: MonthBill
    document: InvoiceDocument
    payments: tuple[tuple[Prepayment, int], ...]
    tax_invoice: TaxInvoice | None
    recipients: tuple[str, ...]


def load_issuing_facts(customers: Collection[Customer], month: BillingMonth, *, now: datetime) -> IssuingFacts:
    """The facts for invoices issued now. The caller holds the customers, so that no prepayment moves meanwhile."""
    issued_on = now.astimezone(KST).date()
    return IssuingFacts(
        issued_on=issued_on,
        identities=load_identities(customers, on=issued_on),
        prepayments=waiting_prepayments([customer.pk for customer in customers]),
        dates=tax_invoice_dates(month),
    )


def plan_invoice(*, customer: Customer, bill: MonthBill, facts: IssuingFacts, now: datetime) -> PlannedInvoice:
    """What the invoice of a bill will say. Writes nothing.

    Raises NoSellerProfile, NoTaxProfile, and UnfitForTaxInvoice where no provider would take its tax invoice.
    """
    seller, buyer = facts.identities.of(customer)
    payments = drawn(facts.prepayments[customer.pk], due_krw=bill.totals.total_krw)
    document = _document(
        customer=customer,
        bill=bill,
        buyer=buyer,
        seller=seller,
        facts=facts,
        prepaid_krw=sum(won for _, won in payments),
    )
    has_supply = bill.totals.supply_krw != 0
    return PlannedInvoice(
        customer=customer,
        bill=bill,
        document=document,
        payments=tuple(payments),
        tax_invoice=tax_record(document=document, buyer=buyer, dates=facts.dates, now=now) if has_supply else None,
        recipients=tuple(address for address in (buyer.email, buyer.email2) if address),
    )


@transaction.atomic
def issue_invoices(
    *, plans: Sequence[tuple[PlannedInvoice, BillingPeriod]], now: datetime, actor: str
) -> list[Invoice]:
    """Issue invoices of one month: lines, ledger, tax invoice records, outbox rows, and last of all their numbers, which
    run in the order given. All of them or none.

    Promotional credit is used up and prepayments pay in this same transaction; an invoice that is settled by then is
    issued as paid. Numbers are taken last because their series' row stays locked until the commit: others wait for as
    short as can be, and whatever rolls back leaves no gap.
    """
    if not plans:
        return []
    invoices = _write_drafts(plans)
    planned = [(invoice, plan) for invoice, (plan, _) in zip(invoices, plans, strict=True)]
    uses = [(invoice, promotion) for invoice, plan in planned for promotion in plan.bill.promotions]
    use_credits(uses=uses, actor=actor, now=now)
    post_transactions([_booking(invoice, plan.bill, actor=actor) for invoice, plan in planned])
    settlements = [
        Settlement(invoice, won, prepayment=prepayment)
        for invoice, plan in planned
        for prepayment, won in plan.payments
    ]
    settle_all(settlements=settlements, actor=actor, now=now)
    record_tax_invoices([(invoice, plan.tax_invoice) for invoice, plan in planned if plan.tax_invoice])
    enqueue_deliveries(orders=[(invoice, plan.recipients) for invoice, plan in planned], now=now)
    _number(planned, now=now)
    record_audits(
        actor=actor,
        action="issue_invoice",
        subjects=[(invoice, {"number": invoice.number}) for invoice in invoices],
    )
    return invoices


def issue_invoice(
    *,
    customer: Customer,
    period: BillingPeriod,
    bill: MonthBill,
    now: datetime,
    actor: str,
    amends: TaxInvoice | None = None,
) -> Invoice:
    """Issue the invoice of one bill; the caller holds the customer.

    `amends` is the tax invoice of the voided invoice that this one is issued instead of, where its own amends that.
    """
    facts = load_issuing_facts([customer], bill.month, now=now)
    plan = plan_invoice(customer=customer, bill=bill, facts=facts, now=now)
    if amends is not None and plan.tax_invoice is not None:
        state_anew(record=plan.tax_invoice, amends=amends)
    (invoice,) = issue_invoices(plans=[(plan, period)], now=now, actor=actor)
    return invoice


def next_number(*, series: str) -> int:
    """The next number of a series, from 1. Holds the series' row until the caller's transaction ends: gapless."""
    return take_numbers(series=series, count=1)[0]


def take_numbers(*, series: str, count: int) -> range:
    """The next so many numbers of a series, from 1. Holds the series' row until the caller's transaction ends: gapless.

    The series counts up by one at a time, because its guard lets it do nothing else.
    """
    with connection.cursor() as cursor:
        cursor.executemany(_COUNT_UP, [(series,)] * count)
        cursor.execute("SELECT last_number FROM billing_numbersequence WHERE series = %s", [series])
        last = int(cursor.fetchone()[0])
    return range(last - count + 1, last + 1)


def deposit_code(month: BillingMonth, ordinal: int) -> str:
    """What the payer writes as 입금자명: short enough for the ten characters that bank transfers keep."""
    return f"JS{month.year % 100:02d}{month.month:02d}{ordinal:04d}"


def _write_drafts(plans: Sequence[tuple[PlannedInvoice, BillingPeriod]]) -> list[Invoice]:
    """The drafts and their lines."""
    invoices = Invoice.objects.bulk_create(_draft(plan, period) for plan, period in plans)
    copy_rows(
        [
            line
            for invoice, (plan, _) in zip(invoices, plans, strict=True)
            for line in (*_usage_lines(invoice, plan.bill), *_adjustment_lines(invoice, plan.bill))
        ]
    )
    return invoices


def _draft(plan: PlannedInvoice, period: BillingPeriod) -> Invoice:
    bill = plan.bill
    dollars = bill.dollars
    return Invoice(
        customer=plan.customer,
        period=period,
        month=bill.month.first_on,
        locale=plan.customer.locale,
        cost_usd=bill.cost_usd,
        exchange_rule=bill.exchange.rule,
        exchange_rate=bill.exchange.rate,
        exchange_evidence=_evidence_json(bill),
        margin=bill.margin,
        rounding=bill.rounding,
        zero_rating=bill.zero_rating,
        supply_krw=bill.totals.supply_krw,
        vat_krw=bill.totals.vat_krw,
        total_krw=bill.totals.total_krw,
        currency=bill.currency,
        supply_usd=dollars.supply_usd if dollars else None,
        vat_usd=dollars.vat_usd if dollars else None,
        total_usd=dollars.total_usd if dollars else None,
    )


def _usage_lines(invoice: Invoice, bill: MonthBill) -> list[InvoiceLine]:
    return [
        InvoiceLine(
            invoice=invoice,
            position=position,
            kind=line.kind,
            month=line.usage.month.first_on,
            model_id=line.usage.model_pk,
            model_name=line.usage.model_id,
            requests=line.usage.total.requests,
            prompt_tokens=line.usage.total.prompt_tokens,
            cache_read_tokens=line.usage.total.cache_read_tokens,
            completion_tokens=line.usage.total.completion_tokens,
            cost_usd=line.usage.total.cost_usd,
            margin=line.terms.margin,
            basis=line.terms.basis.value,
            basis_usd=None if line.terms.basis is Basis.CATALOG else line.sold_usd,
            amount_krw=line.amount_krw,
            discount_krw=line.discount_krw,
            promotion_krw=line.promotion_krw,
        )
        for position, line in enumerate(bill.lines, start=1)
    ]


def _adjustment_lines(invoice: Invoice, bill: MonthBill) -> list[InvoiceLine]:
    return [
        InvoiceLine(
            invoice=invoice,
            position=position,
            kind=adjustment.kind,
            month=bill.month.first_on,
            model_name=adjustment.name,
            discount=adjustment.discount,
            promotional_credit=adjustment.credit,
            requests=0,
            prompt_tokens=0,
            cache_read_tokens=0,
            completion_tokens=0,
            cost_usd=ZERO,
            amount_krw=adjustment.amount_krw,
        )
        for position, adjustment in enumerate(bill.adjustments, start=len(bill.lines) + 1)
    ]


def _booking(invoice: Invoice, bill: MonthBill, *, actor: str) -> Booking:
    return invoice_booking(
        invoice=invoice,
        discount_krw=bill.totals.discount_krw,
        promotion_krw=bill.totals.promotion_krw,
        occurred_on=bill.month.last_on,
        memo=f"{invoice.customer.name} {bill.month}",
        actor=actor,
    )


def _number(planned: Sequence[tuple[Invoice, PlannedInvoice]], *, now: datetime) -> None:
    """Give the drafts their numbers, which is what issues them."""
    month = planned[0][1].bill.month
    series = f"INV-{month.year:04d}{month.month:02d}"
    rows = []
    ordinals = take_numbers(series=series, count=len(planned))
    for ordinal, (invoice, plan) in zip(ordinals, planned, strict=True):
        number = f"{series}-{ordinal:04d}"
        document = plan.document
        invoice.number = number
        invoice.document = document.to_json() | {"number": number, "deposit_code": deposit_code(month, ordinal)}
        invoice.status = Invoice.Status.ISSUED if document.due_krw else Invoice.Status.PAID
        invoice.issued_at, invoice.issued_on, invoice.due_on = now, document.issued_on, document.due_on
        rows.append(
            {
                "id": invoice.pk,
                "number": number,
                "status": invoice.status,
                "issued_on": invoice.issued_on.isoformat(),
                "due_on": invoice.due_on.isoformat(),
                "document": invoice.document,
            }
        )
    with connection.cursor() as cursor:
        cursor.execute(_ISSUE, [now, json.dumps(rows)])


def _evidence_json(bill: MonthBill) -> dict[str, object]:
    exchange = bill.exchange
    return {
        "rule": exchange.rule,
        "source": exchange.source,
        "source_date": exchange.source_date.isoformat() if exchange.source_date else None,
        "daily": [
            {"day": day.used_on.isoformat(), "rate": str(day.rate), "source_date": day.source_date.isoformat()}
            for day in exchange.daily
        ],
    }


def _document(
    *,
    customer: Customer,
    bill: MonthBill,
    buyer: TaxProfile,
    seller: SellerProfile,
    facts: IssuingFacts,
    prepaid_krw: int,
) -> InvoiceDocument:
    month = bill.month
    return InvoiceDocument(
        number=UNNUMBERED,
        locale=customer.locale,
        month=str(month),
        period_start_on=month.first_on,
        period_end_on=month.last_on,
        issued_on=facts.issued_on,
        due_on=facts.issued_on + timedelta(days=customer.payment_due_days),
        seller=_party(seller, kind=TaxProfile.Kind.CORPORATION, registration_no=seller.registration_no),
        seller_phone=seller.phone,
        bank=BankAccount(bank=seller.bank_name, number=seller.bank_account_no, holder=seller.bank_account_holder),
        deposit_code=UNNUMBERED,
        buyer=_party(buyer, kind=buyer.kind, registration_no=buyer.foreign_id or buyer.registration_no),
        lines=bill.document_lines,
        cost_usd=bill.cost_usd,
        margin=bill.margin,
        exchange=bill.exchange,
        rounding=bill.rounding,
        supply_krw=bill.totals.supply_krw,
        vat_krw=bill.totals.vat_krw,
        total_krw=bill.totals.total_krw,
        tax_invoice_deadline_on=facts.dates.deadline_on,
        template_version=TEMPLATE_VERSION,
        prepaid_krw=prepaid_krw,
        minimum_krw=bill.minimum_krw,
        minimums=bill.minimums,
        zero_rate=_zero_rate(bill.zero_rating) if bill.zero_rating else None,
        dollars=_dollars(bill, seller),
    )


def _dollars(bill: MonthBill, seller: SellerProfile) -> DollarAmounts | None:
    dollars = bill.dollars
    if dollars is None:
        return None
    return DollarAmounts(
        supply_usd=dollars.supply_usd,
        vat_usd=dollars.vat_usd,
        total_usd=dollars.total_usd,
        bank_account=seller.bank_account_usd,
    )


def _zero_rate(evidence: ZeroRating) -> ZeroRate:
    return ZeroRate(law=evidence.law, evidence=evidence.reference, sha256=evidence.sha256)


def _party(identity: TaxProfile | SellerProfile, *, kind: str, registration_no: str) -> Party:
    return Party(
        kind=kind,
        registration_no=registration_no,
        name=identity.name,
        ceo_name=identity.ceo_name,
        address=identity.address,
        business_type=identity.business_type,
        business_class=identity.business_class,
        email=identity.email,
    )
