"""산출 근거: one line of an invoice down to its events, and the file of all events that it bills."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404

from accounts.errors import InvalidInput
from billing import formatting
from billing.api.statements import statement_response
from billing.models import Invoice, InvoiceLine
from billing.selectors.explaining import LineExplanation, events_of_line, explain_line
from billing.selectors.explaining_adjustments import explain_adjustment
from catalog.pricing import CostComponent
from portal.formatting import PRICED
from portal.selectors.customers import issued_invoices
from portal.views.explanation_adjustments import adjustment_page
from portal.views.tenancy import CustomerPage
from usage.api.reading import decode_cursor, encode_cursor
from usage.models import UsageEvent
from usage.selectors.events import EventReader, ReadEvent, events_before

EVENTS_A_PAGE = 50
#: Won are shown cut to so many decimals; the API has the exact fraction.
_DECIMALS = 4
#: A price has at most 23 decimals a token.
_EXACT_DECIMALS = 23
_BY_THE_PIECE = frozenset({"request", "image", "web_search"})


class InvoiceLinePage(CustomerPage):
    """How the won of one line came about. What was issued is frozen, so this page never changes its figures."""

    section = "invoices"

    def get(self, request: HttpRequest, number: str, position: int) -> HttpResponse:
        invoice = get_object_or_404(issued_invoices(self.customer), number=number)
        line = get_object_or_404(InvoiceLine, invoice=invoice, position=position)
        if line.model_id is None:
            template, context = adjustment_page(explain_adjustment(invoice, line))
            return self.render(template, {"invoice": invoice, **context})
        explained = explain_line(invoice, line)
        events, older = _page(events_of_line(invoice, line), request.GET.get("after", ""))
        rows = [_row(explained, read) for read in EventReader(self.customer).read(events)]
        context = {
            "invoice": invoice,
            "explained": explained,
            "one": explained.line,
            "heading": explained.line.model_name,
            "document": explained.document,
            "rows": rows,
            "older": older,
            **_steps(explained),
        }
        return self.render("invoice_line.html", context)


class InvoiceStatementPage(CustomerPage):
    """Every event of an invoice as a file that can be checked offline."""

    section = "invoices"

    def get(self, request: HttpRequest, number: str) -> HttpResponseBase:
        invoice: Invoice = get_object_or_404(issued_invoices(self.customer), number=number)
        return statement_response(self.customer, invoice, is_async=isinstance(request, ASGIRequest))


def _steps(explained: LineExplanation) -> dict[str, Any]:
    exchange = explained.document.exchange
    return {
        "cost": formatting.cut(Fraction(explained.line.sold_usd), least=2, most=12),
        "rate": "" if exchange.rate is None else formatting.rate_text(exchange.rate),
        "base": formatting.cut(explained.base_krw, least=0, most=_DECIMALS),
        "margin": formatting.percent_text(explained.margin),
        "exact": formatting.cut(explained.exact_krw, least=0, most=_DECIMALS),
        "is_whole": explained.exact_krw == explained.cut_krw,
        "rounded": explained.line.amount_krw,
        "prices": [
            {
                "share": share,
                "cost": formatting.cut(Fraction(share.total.cost_usd), least=2, most=12),
                "components": [
                    (_priced(key), _unit_price(key, Fraction(text), most=8))
                    for key, text in share.price.components.items()
                    if Fraction(text)
                ],
            }
            for share in explained.prices
        ],
        "days": [
            (
                day,
                formatting.cut(Fraction(day.cost_usd), least=2, most=12),
                formatting.rate_text(day.rate),
                formatting.cut(day.base_krw, least=0, most=_DECIMALS),
            )
            for day in explained.days
        ],
    }


def _priced(key: str) -> str:
    """What the price of that key is paid for; the key itself where we have no word."""
    return str(PRICED.get(key, key))


def _unit_price(key: str, price: Fraction, *, most: int) -> str:
    """`$2.50/M` for tokens, `$0.01` for what is priced by the piece; with so many decimals a million tokens at most."""
    if key in _BY_THE_PIECE:
        return f"${formatting.cut(price, least=2, most=12)}"
    return f"${formatting.cut(price * 1_000_000, least=2, most=most)}/M"


def _arithmetic(component: CostComponent) -> str:
    """`입력 12,345 × $2.50/M`, exactly."""
    price = _unit_price(component.key, Fraction(component.unit_price_usd), most=_EXACT_DECIMALS)
    return f"{_priced(component.key)} {component.quantity:,} × {price}"


def _row(explained: LineExplanation, read: ReadEvent) -> dict[str, Any]:
    assert read.cost_usd is not None  # a line has priced events only
    return {
        "event": read.event,
        "arithmetic": [_arithmetic(component) for component in read.components or ()],
        "cost": formatting.cut(Fraction(explained.sold_usd(read.event, read.cost_usd)), least=2, most=12),
        "charge": formatting.cut(explained.charge_krw(read.event, read.cost_usd), least=0, most=_DECIMALS),
    }


def _page(events: QuerySet[UsageEvent], after: str) -> tuple[list[UsageEvent], str]:
    """One page of events and the address part of the next one, empty on the last."""
    if after:
        try:
            parts = decode_cursor(after)
            events = events_before(events, datetime.fromisoformat(parts[0]), str(parts[1]))
        except (InvalidInput, ValueError, TypeError, IndexError):
            raise Http404 from None
    found = list(events[: EVENTS_A_PAGE + 1])
    page = found[:EVENTS_A_PAGE]
    more = len(found) > EVENTS_A_PAGE
    return page, encode_cursor(page[-1].occurred_at.isoformat(), page[-1].event_id) if more else ""
