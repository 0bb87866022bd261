"""Issued invoices to work with, made in the order that the database demands: draft, lines, everything else, issue."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from accounts.models import Customer, SellerProfile, TaxProfile
from accounts.services import add_seller_profile, add_tax_profile, create_customer
from billing.documents import ExchangeEvidence, InvoiceDocument
from billing.models import Invoice, InvoiceLine
from billing.selectors.deadlines import tax_invoice_dates
from billing.services.delivering import enqueue_deliveries
from billing.services.taxing import record_tax_invoices, tax_record
from tests.documents import samples
from usage.models import BillingPeriod
from usage.periods import BillingMonth

ACTOR = "tests"
#: Monday, 2 November 2026, 09:00 in Korea: eight days before October's tax invoices are due.
NOW = datetime(2026, 11, 2, 0, 0, tzinfo=UTC)
OCTOBER = BillingMonth(2026, 10)
#: USD 1,000 at 1,400 and margin 0.15.
SUPPLY, VAT, TOTAL = 1_647_059, 164_706, 1_811_765
RATE_1400 = ExchangeEvidence(rule="month_end", rate=Decimal("1400"), source="견본 환율", source_date=date(2026, 10, 30))
THOUSAND_DOLLARS = ("OpenAI: GPT-5", "openai/gpt-5", 1_000, 5_000_000, 0, 500_000, "1000")

CORPORATION = {
    "kind": "corporation",
    "registration_no": "220-81-62517",
    "name": "주식회사 가온로보틱스",
    "ceo_name": "윤서진",
    "address": "경기도 성남시 분당구 판교역로 235",
    "business_type": "제조업",
    "business_class": "산업용 로봇 제조업",
    "email": "tax@gaonrobotics.example",
}
FOREIGN = {
    "kind": "foreign",
    "foreign_id": "DE811907980",
    "name": "Nordlicht Sprachtechnik GmbH",
    "ceo_name": "Annika Brandt",
    "address": "Speicherstraße 14, 20457 Hamburg, Germany",
    "email": "accounts@nordlicht.example",
}
SELLER = {
    "registration_no": "201-86-12345",
    "name": "주식회사 정산",
    "ceo_name": "한결",
    "address": "서울특별시 중구 세종대로 110, 7층",
    "business_type": "정보통신업",
    "business_class": "응용 소프트웨어 개발 및 공급업",
    "email": "billing@jeongsan.example",
    "bank_name": "한빛은행",
    "bank_account_no": "100-027-418265",
    "bank_account_holder": "주식회사 정산",
}


def seller() -> SellerProfile:
    """Our own identity."""
    existing = SellerProfile.objects.first()
    return existing or add_seller_profile(valid_from=date(2025, 1, 1), actor=ACTOR, **SELLER)


def customer(slug: str = "gaon", *, profile: dict[str, str] | None = CORPORATION, **changes: str) -> Customer:
    """A customer with a tax profile, `changes` being fields of it; without a profile where it is None."""
    made = create_customer(slug=slug, name=slug, actor=ACTOR)
    if profile is not None:
        add_tax_profile(customer=made, valid_from=date(2025, 1, 1), actor=ACTOR, **(profile | changes))
    return made


def document(profile: TaxProfile, **changes: Any) -> InvoiceDocument:
    """The bill of USD 1,000 in October 2026 to the owner of that profile."""
    own = seller()
    as_party = {
        name: getattr(profile, name)
        for name in ("kind", "name", "ceo_name", "address", "business_type", "business_class", "email")
    }
    buyer = replace(samples.CORPORATION, registration_no=profile.foreign_id or profile.registration_no, **as_party)
    members = {"buyer": buyer, "seller": replace(samples.SELLER, registration_no=own.registration_no)}
    return samples.invoice(samples.lines_of([THOUSAND_DOLLARS]), exchange=RATE_1400, **(members | changes))


def issued_invoice(owner: Customer | None = None, *, number: str = "INV-202610-0001", now: datetime = NOW) -> Invoice:
    """October's invoice of USD 1,000, with its tax invoice record and its deliveries."""
    owner = owner or customer()
    profile = owner.tax_profiles.get()
    content = document(profile, number=number, locale=owner.locale)
    period = BillingPeriod.objects.create(
        customer=owner, month=OCTOBER.first_on, start_at=OCTOBER.start_at, end_at=OCTOBER.end_at
    )
    invoice = Invoice.objects.create(
        customer=owner,
        period=period,
        month=OCTOBER.first_on,
        locale=owner.locale,
        cost_usd=content.cost_usd,
        exchange_rule=content.exchange.rule,
        exchange_rate=content.exchange.rate,
        exchange_evidence={"rule": "month_end"},
        margin=content.margin,
        rounding=content.rounding,
        supply_krw=content.supply_krw,
        vat_krw=content.vat_krw,
        total_krw=content.total_krw,
    )
    for line in content.lines:
        InvoiceLine.objects.create(
            invoice=invoice,
            position=line.position,
            kind=line.kind,
            month=OCTOBER.first_on,
            model_id=line.position,
            model_name=line.model_name,
            requests=line.requests,
            prompt_tokens=line.prompt_tokens,
            cache_read_tokens=line.cache_read_tokens,
            completion_tokens=line.completion_tokens,
            cost_usd=line.cost_usd,
            amount_krw=line.amount_krw,
        )
    record = tax_record(document=content, buyer=profile, dates=tax_invoice_dates(OCTOBER), now=now)
    record_tax_invoices([(invoice, record)])
    enqueue_deliveries(orders=[(invoice, [profile.email, profile.email2])], now=now)
    invoice.number, invoice.status, invoice.document = number, Invoice.Status.ISSUED, content.to_json()
    invoice.issued_at, invoice.issued_on, invoice.due_on = now, content.issued_on, content.due_on
    invoice.save()
    return invoice
