"""A closing and a preview as JSON-ready figures: one shape for both, so that they can be compared."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import Any

from accounts.models import Customer
from billing.documents import USAGE_KINDS, DocumentLine
from billing.models import BillingDraft, BillingRun, BillingRunItem, Invoice, InvoiceLine
from billing.selectors.drafts import run_status
from billing.selectors.previews import MonthPreview
from billing.selectors.readiness import Finding
from catalog.money import decimal_text
from usage.models import BillingPeriod
from usage.periods import BillingMonth


def invoice_dict(invoice: Invoice) -> dict[str, Any]:
    """An issued invoice's figures: won as integers, USD and rate as plain decimal strings."""
    return {
        "number": invoice.number,
        "customer": invoice.customer.slug,
        "month": f"{invoice.month:%Y-%m}",
        "status": invoice.status,
        "issued_on": invoice.issued_on.isoformat() if invoice.issued_on else None,
        "due_on": invoice.due_on.isoformat() if invoice.due_on else None,
        "cost_usd": decimal_text(invoice.cost_usd),
        "exchange_rule": invoice.exchange_rule,
        "exchange_rate": decimal_text(invoice.exchange_rate) if invoice.exchange_rate is not None else None,
        "exchange_source": invoice.exchange_evidence["source"],
        "exchange_source_date": invoice.exchange_evidence["source_date"],
        "margin": None if invoice.margin is None else decimal_text(invoice.margin),
        "supply_krw": invoice.supply_krw,
        "vat_krw": invoice.vat_krw,
        "total_krw": invoice.total_krw,
        "currency": invoice.currency,
        **_dollars(invoice.supply_usd, invoice.vat_usd, invoice.total_usd),
        "lines": [
            {
                "position": line.position,
                "kind": line.kind,
                "month": f"{line.month:%Y-%m}",
                "model": line.model_name,
                "requests": line.requests,
                "prompt_tokens": line.prompt_tokens,
                "completion_tokens": line.completion_tokens,
                "cost_usd": decimal_text(line.cost_usd),
                **_terms(line, invoice.margin),
                "amount_krw": line.amount_krw,
                "discount_krw": line.discount_krw,
                "promotion_krw": line.promotion_krw,
            }
            for line in invoice.lines.all()
        ],
    }


def run_dict(run: BillingRun, *, customer: Customer | None = None) -> dict[str, Any]:
    """What a run came to, of all customers or of one."""
    items = run.items.select_related("customer", "invoice__customer").order_by("customer__slug")
    if customer:
        items = items.filter(customer=customer)
    outcomes = dict(BillingPeriod.objects.filter(month=run.month).values_list("customer_id", "outcome"))
    done = [item for item in items if item.status == BillingRunItem.Status.DONE]
    return {
        "month": f"{run.month:%Y-%m}",
        "preview": False,
        "invoices": [invoice_dict(item.invoice) for item in done if item.invoice],
        "parked": [
            {"customer": item.customer.slug, "code": item.reason_code, "reason": item.reason}
            for item in items
            if item.status == BillingRunItem.Status.PARKED
        ],
        "without_invoice": [
            {"customer": item.customer.slug, "outcome": outcomes.get(item.customer_id, "")}
            for item in done
            if not item.invoice
        ],
    }


def status_dict(run: BillingRun) -> dict[str, Any]:
    """How far a run is, for `close_status`; won as integers, USD as plain decimal strings."""
    status = run_status(run)
    odd = BillingDraft.objects.filter(item__run=run).exclude(anomalies=[]).select_related("item__customer")
    return {
        "stage": status.stage.value,
        "in_steps": run.is_stepwise,
        "customers": status.counts,
        "drafted": status.drafted,
        "supply_krw": status.supply_krw,
        "vat_krw": status.vat_krw,
        "total_krw": status.total_krw,
        "anomalies": status.anomalies,
        "odd": [
            {
                "customer": draft.item.customer.slug,
                "anomalies": draft.anomalies,
                "supply_krw": draft.supply_krw,
                "previous_supply_krw": draft.previous_supply_krw,
            }
            for draft in odd.order_by("item__customer__slug")
        ],
        "rates_confirmed_by": run.rates_confirmed_by or None,
        "drafted_by": run.drafted_by or None,
        "approved_by": run.approved_by or None,
        "deliveries": status.deliveries,
    }


def findings_dicts(findings: list[Finding]) -> list[dict[str, Any]]:
    """What readiness found."""
    return [asdict(finding) for finding in findings]


def preview_dict(month: BillingMonth, previews: list[tuple[Customer, MonthPreview]]) -> dict[str, Any]:
    """Previews in the shape of `run_dict`; a customer with a problem is listed as parked and still shows its amounts."""
    return {
        "month": str(month),
        "preview": True,
        "invoices": [_preview_row(customer, preview) for customer, preview in previews if preview.bill],
        "parked": [
            {"customer": customer.slug, "code": problem.code, "reason": problem.message}
            for customer, preview in previews
            for problem in preview.problems
            if preview.bill or preview.cost_usd or preview.quarantined_count
        ],
        "without_invoice": [
            {"customer": customer.slug, "outcome": BillingPeriod.Outcome.NO_USAGE.value}
            for customer, preview in previews
            if not (preview.bill or preview.cost_usd or preview.quarantined_count)
        ],
    }


def _preview_row(customer: Customer, preview: MonthPreview) -> dict[str, Any]:
    bill = preview.bill
    assert bill is not None
    dollars = bill.dollars
    return {
        "number": None,
        "customer": customer.slug,
        "month": str(preview.month),
        "status": "preview",
        "issued_on": None,
        "due_on": None,
        "cost_usd": decimal_text(bill.cost_usd),
        "exchange_rule": bill.exchange.rule,
        "exchange_rate": decimal_text(bill.exchange.rate) if bill.exchange.rate is not None else None,
        "exchange_source": bill.exchange.source,
        "exchange_source_date": bill.exchange.source_date.isoformat() if bill.exchange.source_date else None,
        "margin": None if bill.margin is None else decimal_text(bill.margin),
        "supply_krw": bill.totals.supply_krw,
        "vat_krw": bill.totals.vat_krw,
        "total_krw": bill.totals.total_krw,
        "currency": bill.currency,
        **(_dollars(dollars.supply_usd, dollars.vat_usd, dollars.total_usd) if dollars else _dollars(None, None, None)),
        "lines": [
            {
                "position": line.position,
                "kind": line.kind,
                "month": line.month,
                "model": line.model_id or line.model_name,
                "requests": line.requests,
                "prompt_tokens": line.prompt_tokens,
                "completion_tokens": line.completion_tokens,
                "cost_usd": decimal_text(line.cost_usd),
                **_terms(line, bill.margin),
                "amount_krw": line.amount_krw,
                "discount_krw": line.discount_krw,
                "promotion_krw": line.promotion_krw,
            }
            for line in bill.document_lines
        ],
    }


def _dollars(supply: Decimal | None, vat: Decimal | None, total: Decimal | None) -> dict[str, str | None]:
    """Cents as text, all null on an invoice in won."""
    named = {"supply_usd": supply, "vat_usd": vat, "total_usd": total}
    return {name: None if amount is None else format(amount, "f") for name, amount in named.items()}


def _terms(line: InvoiceLine | DocumentLine, margin: Decimal | None) -> dict[str, str | None]:
    """On which terms a line sold; `margin` is the invoice's."""
    own = None if line.kind not in USAGE_KINDS else margin if line.margin is None else line.margin
    return {"margin": None if own is None else decimal_text(own), "basis": line.basis}
