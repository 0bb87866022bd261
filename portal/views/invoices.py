"""청구서: list, one invoice, its PDF."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.http import content_disposition_header

from billing import formatting
from billing.documents import DocumentLine, InvoiceDocument
from billing.dollars import outstanding_usd
from billing.mail import attachment_name
from billing.models import Invoice
from billing.selectors.credit_notes import credit_notes_of
from billing.services.printing import ensure_invoice_pdf
from billing.services.stating import ensure_statement
from catalog.money import EXACT
from portal.formatting import dollar_sign, minus, settlement, won
from portal.selectors.customers import issued_invoices, standing_settlements
from portal.views.tenancy import CustomerPage


class InvoicesPage(CustomerPage):
    section = "invoices"

    def get(self, request: HttpRequest) -> HttpResponse:
        context = {
            "invoices": issued_invoices(self.customer).defer("document"),
            "credit_notes": credit_notes_of(self.customer).defer("document"),
        }
        return self.render("invoices.html", context)


class InvoicePage(CustomerPage):
    """One invoice as it was issued: everything comes from the frozen document, nothing is computed anew."""

    section = "invoices"

    def get(self, request: HttpRequest, number: str) -> HttpResponse:
        invoice = get_object_or_404(issued_invoices(self.customer), number=number)
        document = _document(invoice)
        context = {
            "invoice": invoice,
            "tax_invoice": getattr(invoice, "tax_invoice", None),
            "document": document,
            "is_payable": invoice.status == Invoice.Status.ISSUED,
            "is_sandbox": settings.TAX_PROVIDER == "sandbox",
            "has_cache": any(line.cache_read_tokens for line in document.usage_lines),
            "has_months": any(line.month != document.month for line in document.usage_lines),
            "adjustments": [_adjustment(document, line) for line in document.adjustment_lines],
            "amounts": _amounts(invoice, document),
            "settlements": _settlements(invoice),
            "formula": _formula(document),
            "credit_notes": credit_notes_of(self.customer).filter(invoice=invoice).defer("document"),
            "statement": ensure_statement(invoice=invoice, now=self.now),
            **_lines(document),
        }
        return self.render("invoice.html", context)


class InvoicePdfPage(CustomerPage):
    """The very bytes that were mailed; made now if nothing has asked for them yet."""

    section = "invoices"

    def get(self, request: HttpRequest, number: str) -> HttpResponse:
        invoice = get_object_or_404(issued_invoices(self.customer), number=number)
        pdf = ensure_invoice_pdf(invoice=invoice, now=self.now)
        name = attachment_name(_document(invoice))
        response = HttpResponse(bytes(pdf.content), content_type="application/pdf")
        response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name)
        return response


def _adjustment(document: InvoiceDocument, line: DocumentLine) -> dict[str, Any]:
    """A line behind the usage, with the percentage where it is one."""
    return {
        "line": line,
        "percent": "" if line.share is None else formatting.percent_text(line.share),
        "amount": minus(formatting.lines_amount(document, [line])),
    }


def _amounts(invoice: Invoice, document: InvoiceDocument) -> dict[str, str]:
    """The invoice's amounts in the currency that it is read in."""
    lines = {
        "usage_column": formatting.lines_amount(document, document.usage_lines),
        "supply_column": formatting.lines_amount(document, document.lines),
    }
    dollars = document.dollars
    if dollars is None or invoice.due_usd is None:
        krw = {
            "supply": document.supply_krw,
            "vat": document.vat_krw,
            "total": document.total_krw,
            "due": invoice.due_krw,
        }
        return lines | {name: won(amount) for name, amount in krw.items()}
    usd = {
        "supply": dollars.supply_usd,
        "vat": dollars.vat_usd,
        "total": dollars.total_usd,
        "due": invoice.due_usd,
    }
    rate = Fraction(document.exchange.rate or 1)
    exact = {
        "exact_supply": formatting.cut(document.supply_krw / rate, least=2, most=4),
        "exact_vat": formatting.cut(document.vat_krw / rate, least=2, most=4),
    }
    return lines | {name: dollar_sign(amount) for name, amount in usd.items()} | exact


def _settlements(invoice: Invoice) -> list[tuple[str, str]]:
    """What lies between the total and what is still to be paid, by its kind, in the currency that the invoice is read in.

    In dollars each takes what is due in dollars before it less what is due after it, so the column adds up to the cent.
    """
    total_krw, total_usd = invoice.total_krw, invoice.total_usd
    due_krw, sums = total_krw, dict[str, Decimal]()
    for source, amount_krw in standing_settlements(invoice):
        left_krw = due_krw - amount_krw
        amount = Decimal(amount_krw)
        if total_usd is not None:
            amount = EXACT.subtract(
                outstanding_usd(outstanding_krw=due_krw, total_krw=total_krw, total_usd=total_usd),
                outstanding_usd(outstanding_krw=left_krw, total_krw=total_krw, total_usd=total_usd),
            )
        sums[source] = EXACT.add(sums.get(source, Decimal(0)), amount)
        due_krw = left_krw
    return [
        (settlement(source), won(-int(amount)) if total_usd is None else dollar_sign(-amount))
        for source, amount in sums.items()
    ]


def _document(invoice: Invoice) -> InvoiceDocument:
    assert invoice.document is not None  # a constraint gives every issued invoice one
    return InvoiceDocument.from_json(invoice.document)


def _lines(document: InvoiceDocument) -> dict[str, Any]:
    """The lines with their dollars as one column that adds up, as on the PDF."""
    costs = formatting.column([Fraction(line.sold_usd) for line in document.usage_lines])
    texts = [costs.text(cell) for cell in costs.cells]
    amounts = [formatting.lines_amount(document, [line]) for line in document.usage_lines]
    return {"rows": list(zip(document.usage_lines, texts, amounts, strict=True)), "cost": costs.text(costs.total)}


def _formula(document: InvoiceDocument) -> dict[str, Any]:
    """How the won came about, with digits enough to follow it on a calculator."""
    exchange = document.exchange
    bases = formatting.column([one.base_krw for one in exchange.daily])
    costs = formatting.column([Fraction(one.cost_usd) for one in exchange.daily])
    daily = zip(exchange.daily, costs.cells, bases.cells, strict=True)
    return {
        "cost": formatting.cut(document.sold_usd, least=2, most=12),
        "rate": formatting.rate_text(exchange.rate) if exchange.rate is not None else "",
        "margin": "" if document.margin is None else formatting.percent_text(document.margin),
        "terms": _terms(document),
        "exact_supply": formatting.cut(document.exact_supply_krw, least=0, most=4),
        "exact_vat": formatting.cut(Fraction(document.supply_krw, 10), least=0, most=1),
        "base": bases.text(bases.total),
        "days": [
            (one, costs.text(cost), formatting.rate_text(one.rate), bases.text(base)) for one, cost, base in daily
        ],
    }


def _terms(document: InvoiceDocument) -> list[dict[str, Any]]:
    """The steps for each of the terms that usage sells on; none where all of it sells alike, at list price."""
    shares = document.sold_shares
    if len(shares) == 1 and shares[0].basis == "catalog":
        return []
    return [
        {
            "models": list(dict.fromkeys(line.model_name for line in share.lines)),
            "basis": share.basis,
            "margin": formatting.percent_text(share.margin),
            "cost": formatting.cut(share.sold_usd, least=2, most=12),
            "base": formatting.cut(share.base_krw, least=0, most=4),
            "exact": formatting.cut(share.exact_krw, least=0, most=4),
        }
        for share in shares
    ]
