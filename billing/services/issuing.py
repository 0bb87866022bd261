"""Turning a computed bill into an issued invoice with everything that follows from it, in one transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

from django.db import connection, transaction

from accounts.models import Customer, SellerProfile, TaxProfile
from accounts.selectors import seller_profile_in_force, tax_profile_in_force
from accounts.services import record_audit
from billing.documents import BankAccount, InvoiceDocument, Party
from billing.errors import NoSellerProfile, NoTaxProfile
from billing.models import Invoice, InvoiceLine, NumberSequence
from billing.pdf import TEMPLATE_VERSION
from billing.selectors.bills import MonthBill
from billing.selectors.deadlines import tax_invoice_dates
from billing.services.delivering import enqueue_deliveries
from billing.services.granting import use_credits
from billing.services.posting import post_invoice
from billing.services.prepaying import pay_from_prepayment
from billing.services.taxing import record_tax_invoice
from catalog.money import ZERO
from usage.models import BillingPeriod
from usage.periods import KST, BillingMonth

#: Stands in the document until the number is taken, which happens last.
UNNUMBERED = "-"


@transaction.atomic
def issue_invoice(*, customer: Customer, period: BillingPeriod, bill: MonthBill, now: datetime, actor: str) -> Invoice:
    """Issue the invoice of a bill: lines, ledger, tax invoice record, outbox rows, and last of all its number.

    Promotional credit is used up and prepayments pay in this same transaction; an invoice that is settled by then is
    issued as paid. Without a supply (all of it given away) there is no tax invoice. The number is taken last because its
    series row stays locked until the commit: other customers wait for as short as can be, and whatever rolls back leaves
    no gap.
    """
    issued_on = now.astimezone(KST).date()
    buyer, seller = _identities(customer, on=issued_on)
    draft = _draft(customer=customer, period=period, bill=bill)
    use_credits(invoice=draft, promotions=bill.promotions, actor=actor, now=now)
    post_invoice(
        invoice=draft,
        promotion_krw=bill.totals.promotion_krw,
        occurred_on=bill.month.last_on,
        memo=f"{customer.name} {bill.month}",
        actor=actor,
    )
    pay_from_prepayment(invoice=draft, actor=actor, now=now)
    document = _document(draft=draft, bill=bill, buyer=buyer, seller=seller, issued_on=issued_on)
    if draft.supply_krw:
        record_tax_invoice(invoice=draft, document=document, buyer=buyer, now=now)
    recipients = [address for address in (buyer.email, buyer.email2) if address]
    enqueue_deliveries(invoice=draft, recipients=recipients, now=now)
    ordinal = next_number(series=f"INV-{bill.month.year:04d}{bill.month.month:02d}")
    draft.number = f"INV-{bill.month.year:04d}{bill.month.month:02d}-{ordinal:04d}"
    final = replace(document, number=draft.number, deposit_code=deposit_code(bill.month, ordinal))
    draft.status = Invoice.Status.ISSUED if draft.due_krw else Invoice.Status.PAID
    draft.issued_at, draft.issued_on = now, issued_on
    draft.due_on = final.due_on
    draft.document = final.to_json()
    draft.save(update_fields=["number", "status", "issued_at", "issued_on", "due_on", "document"])
    record_audit(actor=actor, action="issue_invoice", subject=draft, data={"number": draft.number})
    return draft


def next_number(*, series: str) -> int:
    """The next number of a series, from 1. Holds the series' row until the caller's transaction ends: gapless."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO {NumberSequence._meta.db_table} (series, last_number) VALUES (%s, 1)
            ON CONFLICT (series) DO UPDATE SET last_number = billing_numbersequence.last_number + 1
            RETURNING last_number
            """,  # noqa: S608 - the table name is our model's
            [series],
        )
        return int(cursor.fetchone()[0])


def deposit_code(month: BillingMonth, ordinal: int) -> str:
    """What the payer writes as 입금자명: short enough for the ten characters that bank transfers keep."""
    return f"JS{month.year % 100:02d}{month.month:02d}{ordinal:04d}"


def _identities(customer: Customer, *, on: date) -> tuple[TaxProfile, SellerProfile]:
    buyer, seller = tax_profile_in_force(customer, on=on), seller_profile_in_force(on=on)
    if seller is None:
        raise NoSellerProfile("our own seller profile is not set up yet", field="seller_profile")
    if buyer is None:
        raise NoTaxProfile(f"{customer.slug} has no tax profile in force on {on}", field="tax_profile")
    return buyer, seller


def _draft(*, customer: Customer, period: BillingPeriod, bill: MonthBill) -> Invoice:
    invoice = Invoice.objects.create(
        customer=customer,
        period=period,
        month=bill.month.first_on,
        locale=customer.locale,
        cost_usd=bill.cost_usd,
        exchange_rule=bill.exchange.rule,
        exchange_rate=bill.exchange.rate,
        exchange_evidence=_evidence_json(bill),
        margin=bill.margin,
        rounding=bill.rounding,
        supply_krw=bill.totals.supply_krw,
        vat_krw=bill.totals.vat_krw,
        total_krw=bill.totals.total_krw,
    )
    InvoiceLine.objects.bulk_create(
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
            amount_krw=line.amount_krw,
            promotion_krw=line.promotion_krw,
        )
        for position, line in enumerate(bill.lines, start=1)
    )
    InvoiceLine.objects.bulk_create(
        InvoiceLine(
            invoice=invoice,
            position=position,
            kind=InvoiceLine.Kind.PROMOTION,
            month=bill.month.first_on,
            model_name=promotion.credit.name,
            promotional_credit=promotion.credit,
            requests=0,
            prompt_tokens=0,
            cache_read_tokens=0,
            completion_tokens=0,
            cost_usd=ZERO,
            amount_krw=-promotion.amount_krw,
        )
        for position, promotion in enumerate(bill.promotions, start=len(bill.lines) + 1)
    )
    return invoice


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
    *, draft: Invoice, bill: MonthBill, buyer: TaxProfile, seller: SellerProfile, issued_on: date
) -> InvoiceDocument:
    month = bill.month
    return InvoiceDocument(
        number=UNNUMBERED,
        locale=draft.locale,
        month=str(month),
        period_start_on=month.first_on,
        period_end_on=month.last_on,
        issued_on=issued_on,
        due_on=issued_on + timedelta(days=draft.customer.payment_due_days),
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
        tax_invoice_deadline_on=tax_invoice_dates(month).deadline_on,
        template_version=TEMPLATE_VERSION,
        prepaid_krw=draft.allocated_krw,
    )


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
