"""Invoices as JSON: how the OpenAPI document describes them, and how they are made of what was issued."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from rest_framework import serializers

from billing.api.amounts import AmountDocument, krw, usd, usd_cents
from billing.documents import BASES, USAGE_KINDS, DocumentLine, ExchangeEvidence
from billing.dollars import CURRENCIES
from billing.models import Invoice
from billing.selectors.previews import MonthPreview
from catalog.money import decimal_text

#: Whatever was issued, whatever became of it since; drafts are nobody's business.
SHOWN = (Invoice.Status.ISSUED, Invoice.Status.PAID, Invoice.Status.VOID)


class ExchangeDocument(serializers.Serializer):
    """How dollars became won; frozen with the invoice."""

    rule = serializers.ChoiceField(choices=("month_end", "daily", "fixed"))
    rate = serializers.CharField(allow_null=True, help_text="Won per USD; null under the daily rule.")
    rate_source = serializers.CharField()
    source_date = serializers.CharField(allow_null=True, help_text="The day for which the rate was published.")


class InvoiceLineDocument(serializers.Serializer):
    """One model's usage of one KST month, or what stands behind it (`cost` and counts are 0 then): a discount or
    promotional credit that takes won off, or what the month is short of its minimum.
    """

    position = serializers.IntegerField()
    kind = serializers.CharField(
        help_text="`usage`, `supplementary` for an earlier month's late usage, `discount`, `minimum` or `promotion`."
    )
    month = serializers.CharField(help_text="KST month in which it was used.")
    model = serializers.CharField(help_text="Empty where nothing was used.")
    model_name = serializers.CharField(help_text="The name of the discount or of the promotion's credit.")
    requests = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField()
    cache_read_tokens = serializers.IntegerField(help_text="Inside the prompt's.")
    completion_tokens = serializers.IntegerField()
    cost = AmountDocument(help_text="At list price, exact.")
    basis = serializers.ChoiceField(
        choices=BASES,
        help_text="What the margin is reckoned on: list price, what the upstream charged (list price where it named no "
        "charge), or the higher of both, request by request.",
    )
    sold = AmountDocument(help_text="That amount, exact: the line is this x rate / (1 - margin).")
    margin = serializers.CharField(allow_null=True, help_text="Share of the selling price; null for a promotion.")
    supply = AmountDocument(
        help_text="공급가액 of the line, negative for a discount or promotion; the lines add up to the invoice's."
    )
    supply_usd = AmountDocument(
        allow_null=True,
        help_text="That in dollars; the lines add up to the invoice's to the cent. null on an invoice in won.",
    )
    discount = AmountDocument(help_text="How much of this usage line's supply the discounts below take off.")
    promotion = AmountDocument(help_text="How much of this usage line's supply the promotions below take off.")
    share = serializers.CharField(
        allow_null=True, help_text="Of a discount: its share of `base`; null where it is so many won a month."
    )
    base = AmountDocument(
        allow_null=True,
        help_text="Of a discount: the supply of the usage that it is for. Of a minimum: what the month comes to at least.",
    )


class ZeroRateDocument(serializers.Serializer):
    """By what there is no VAT (영세율)."""

    law = serializers.CharField(help_text="Article of the law, in Korean.")
    evidence = serializers.CharField()
    sha256 = serializers.CharField(help_text="Of the document named as evidence.")


class StatementDocument(serializers.Serializer):
    """What the file of the invoice's events has to come to."""

    events = serializers.IntegerField()
    digest = serializers.CharField(help_text="SHA-256 over their hash chain, as the PDF prints it.")


class DollarTotalsDocument(serializers.Serializer):
    """The won at the invoice's one rate, to the cent. The won are the legal amounts, and may be paid instead."""

    supply = AmountDocument()
    vat = AmountDocument()
    total = AmountDocument()


class DollarAmountsDocument(DollarTotalsDocument):
    """The dollars of an invoice."""

    due = AmountDocument(help_text="Not paid yet, by transfer, from a prepayment or by a credit note.")


class InvoiceHeadDocument(serializers.Serializer):
    """An invoice without its lines."""

    number = serializers.CharField()
    status = serializers.ChoiceField(choices=[status.value for status in SHOWN])
    month = serializers.CharField()
    issued_on = serializers.CharField()
    due_on = serializers.CharField()
    cost = AmountDocument()
    supply = AmountDocument(help_text="공급가액.")
    vat = AmountDocument(help_text="부가세.")
    total = AmountDocument()
    due = AmountDocument(help_text="Not paid yet, by transfer or from a prepayment.")
    currency = serializers.ChoiceField(choices=CURRENCIES, help_text="What the invoice is read in and may be paid in.")
    dollars = DollarAmountsDocument(allow_null=True, help_text="null on an invoice in won.")


class InvoiceWholeDocument(InvoiceHeadDocument):
    """An invoice as it was issued."""

    margin = serializers.CharField(
        allow_null=True, help_text="Share of the selling price; null where lines differ in it."
    )
    rounding = serializers.CharField()
    exchange = ExchangeDocument()
    statement = StatementDocument(allow_null=True, help_text="null once the events are archived without it.")
    vat_rate = serializers.CharField(help_text="`0.1`, or `0` where zero-rated.")
    zero_rate = ZeroRateDocument(allow_null=True, help_text="null where VAT is 10 %.")
    deposit_code = serializers.CharField(help_text="What to write as the depositor's name (입금자명).")
    lines = InvoiceLineDocument(many=True)


class InvoicePageDocument(serializers.Serializer):
    """A page of invoices, newest first."""

    rows = InvoiceHeadDocument(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class PreviewProblemDocument(serializers.Serializer):
    """What would stop the close."""

    code = serializers.CharField()
    detail = serializers.CharField()


class InvoicePreviewDocument(serializers.Serializer):
    """What the month comes to so far; nothing of it is binding before the month is closed."""

    month = serializers.CharField()
    cost = AmountDocument()
    quarantined_events = serializers.IntegerField(help_text="They wait for a price and are in no sum.")
    problems = PreviewProblemDocument(many=True)
    margin = serializers.CharField(allow_null=True)
    rounding = serializers.CharField(allow_null=True)
    exchange = ExchangeDocument(allow_null=True)
    supply = AmountDocument(allow_null=True, help_text="null without usage, or while something is missing.")
    vat = AmountDocument(allow_null=True)
    vat_rate = serializers.CharField(allow_null=True, help_text="`0.1`, or `0` where zero-rated.")
    total = AmountDocument(allow_null=True)
    currency = serializers.ChoiceField(choices=CURRENCIES, allow_null=True)
    dollars = DollarTotalsDocument(allow_null=True, help_text="null where the invoice will be in won.")
    lines = InvoiceLineDocument(many=True)


def exchange_json(exchange: ExchangeEvidence) -> dict[str, Any]:
    """Where the rate came from (`ExchangeDocument`)."""
    return {
        "rule": exchange.rule,
        "rate": None if exchange.rate is None else decimal_text(exchange.rate),
        "rate_source": exchange.source,
        "source_date": None if exchange.source_date is None else exchange.source_date.isoformat(),
    }


def line_json(line: DocumentLine, margin: Decimal | None) -> dict[str, Any]:
    """A line as it was issued (`InvoiceLineDocument`); `margin` is the invoice's."""
    own = None if line.kind not in USAGE_KINDS else margin if line.margin is None else line.margin
    return {
        "position": line.position,
        "kind": line.kind,
        "month": line.month,
        "model": line.model_id,
        "model_name": line.model_name,
        "requests": line.requests,
        "prompt_tokens": line.prompt_tokens,
        "cache_read_tokens": line.cache_read_tokens,
        "completion_tokens": line.completion_tokens,
        "cost": usd(line.cost_usd),
        "basis": line.basis,
        "sold": usd(line.sold_usd),
        "margin": None if own is None else decimal_text(own),
        "supply": krw(line.amount_krw),
        "supply_usd": None if line.amount_usd is None else usd_cents(line.amount_usd),
        "discount": krw(line.discount_krw),
        "promotion": krw(line.promotion_krw),
        "share": None if line.share is None else decimal_text(line.share),
        "base": krw(line.base_krw) if line.base_krw else None,
    }


def head_json(invoice: Invoice) -> dict[str, Any]:
    """An issued invoice without its lines (`InvoiceHeadDocument`)."""
    assert invoice.issued_on is not None and invoice.due_on is not None  # noqa: PT018 - one constraint holds both
    return {
        "number": invoice.number,
        "status": invoice.status,
        "month": f"{invoice.month:%Y-%m}",
        "issued_on": invoice.issued_on.isoformat(),
        "due_on": invoice.due_on.isoformat(),
        "cost": usd(invoice.cost_usd),
        "supply": krw(invoice.supply_krw),
        "vat": krw(invoice.vat_krw),
        "total": krw(invoice.total_krw),
        "due": krw(invoice.due_krw),
        "currency": invoice.currency,
        "dollars": _dollars_json(invoice),
    }


def _dollars_json(invoice: Invoice) -> dict[str, Any] | None:
    amounts = (invoice.supply_usd, invoice.vat_usd, invoice.total_usd, invoice.due_usd)
    named = zip(("supply", "vat", "total", "due"), amounts, strict=True)
    return None if None in amounts else {name: usd_cents(amount) for name, amount in named if amount is not None}


def preview_json(preview: MonthPreview) -> dict[str, Any]:
    """What the running month comes to so far (`InvoicePreviewDocument`)."""
    bill = preview.bill
    dollars = bill.dollars if bill else None
    return {
        "month": str(preview.month),
        "cost": usd(preview.cost_usd),
        "quarantined_events": preview.quarantined_count,
        "problems": [{"code": problem.code, "detail": problem.message} for problem in preview.problems],
        "margin": None if bill is None or bill.margin is None else decimal_text(bill.margin),
        "rounding": None if bill is None else bill.rounding.value,
        "exchange": None if bill is None else exchange_json(bill.exchange),
        "supply": None if bill is None else krw(bill.totals.supply_krw),
        "vat": None if bill is None else krw(bill.totals.vat_krw),
        "vat_rate": None if bill is None else "0" if bill.zero_rating else "0.1",
        "total": None if bill is None else krw(bill.totals.total_krw),
        "currency": None if bill is None else bill.currency,
        "dollars": None
        if dollars is None
        else {
            "supply": usd_cents(dollars.supply_usd),
            "vat": usd_cents(dollars.vat_usd),
            "total": usd_cents(dollars.total_usd),
        },
        "lines": [line_json(line, bill.margin) for line in bill.document_lines] if bill else [],
    }
