"""`GET /billing/v1/invoices/{number}/lines/{position}/explain`: a won figure down to the events it is made of."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import IsCustomerKey
from accounts.errors import NotFound
from billing.api.amounts import AmountDocument, ExactWonDocument, exact_json, krw, usd
from billing.api.explain_adjustments import ADJUSTMENT_DOCUMENTS, adjustment_json
from billing.api.invoice_json import ExchangeDocument, InvoiceLineDocument, exchange_json, line_json
from billing.api.invoices import PROBLEMS, asking, invoice_of
from billing.documents import USAGE_KINDS
from billing.models import InvoiceLine
from billing.selectors.explaining import DayShare, LineExplanation, PriceShare, events_of_line, explain_line
from billing.selectors.explaining_adjustments import explain_adjustment
from catalog.money import decimal_text
from usage.api.events import EventDocument, event_json, instant_text
from usage.api.reading import MAX_LIMIT, bad_cursor, decode_cursor, encode_cursor, read_limit, read_params
from usage.periods import parse_instant
from usage.selectors.events import EventReader, events_before


class PriceShareDocument(serializers.Serializer):
    """The line's events under one version of the model's price."""

    effective_from = serializers.CharField()
    effective_to = serializers.CharField(allow_null=True)
    components = serializers.DictField(child=serializers.CharField(), help_text="USD per token or unit.")
    overrides = serializers.ListField(child=serializers.DictField())
    requests = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    cost = AmountDocument()


class DayShareDocument(serializers.Serializer):
    """Under the daily rule: what was used on a KST day, at the rate of that day."""

    day = serializers.CharField()
    cost = AmountDocument(help_text="What is sold, by the line's basis.")
    rate = serializers.CharField()
    source_date = serializers.CharField()
    base_krw = ExactWonDocument()


class ChargedEventDocument(EventDocument):
    """An event with its exact share of the line, before the line's rounding."""

    sold = AmountDocument(
        allow_null=True, help_text="What it is sold on, by the line's basis; they add up to the line's."
    )
    charge_krw = ExactWonDocument()


class DiscountShareDocument(serializers.Serializer):
    """What one discount takes off the line."""

    position = serializers.IntegerField(help_text="Of the discount's own line.")
    name = serializers.CharField()
    amount = AmountDocument()


class LineExplanationDocument(serializers.Serializer):
    """A line of usage: sold x rate = base; base / (1 - margin) = exact; exact without its fraction + rounding = the line's
    won.
    """

    kind = serializers.ChoiceField(choices=USAGE_KINDS)
    invoice = serializers.CharField()
    line = InvoiceLineDocument()
    exchange = ExchangeDocument()
    prices = PriceShareDocument(many=True, help_text="They add up to the line's cost.")
    days = DayShareDocument(many=True, help_text="Empty unless the rule is daily.")
    margin = serializers.CharField()
    base_krw = ExactWonDocument(help_text="Before margin.")
    exact_krw = ExactWonDocument(help_text="After margin, before rounding.")
    cut = AmountDocument(help_text="Without its fraction.")
    rounding = AmountDocument(
        help_text="0 or 1: the won missing from the invoice's supply go to the lines with the largest fractions."
    )
    discounts = DiscountShareDocument(many=True, help_text="They add up to the line's `discount`.")
    left = AmountDocument(help_text="What is billed of the line after discounts and promotional credit.")
    events = ChargedEventDocument(many=True, help_text="A page of the line's events, newest first.")
    next_cursor = serializers.CharField(allow_null=True)


_BY_KIND: dict[str, serializers.Serializer[Any] | type[serializers.Serializer[Any]]] = {
    **dict.fromkeys(USAGE_KINDS, LineExplanationDocument),
    **ADJUSTMENT_DOCUMENTS,
}
_EXPLANATIONS = PolymorphicProxySerializer(
    component_name="ExplainedLineDocument",
    serializers=_BY_KIND,
    resource_type_field_name="kind",
)


class ExplainedLine(APIView):
    """How the won of one line came about."""

    permission_classes = [IsCustomerKey]

    @extend_schema(
        operation_id="explain_invoice_line",
        summary="A line's won, step by step",
        description="`kind` tells which kind of line it is and what the answer holds.",
        parameters=[
            OpenApiParameter("limit", int, description=f"Events a page, for a line of usage: 1 to {MAX_LIMIT}."),
            OpenApiParameter("cursor", str, description="`next_cursor` of the page before."),
        ],
        responses={200: _EXPLANATIONS, **PROBLEMS},
    )
    def get(self, request: Request, number: str, position: int) -> Response:
        params = read_params(request, names=frozenset({"limit", "cursor"}))
        invoice = invoice_of(asking(request), number)
        limit = read_limit(params)
        line = InvoiceLine.objects.filter(invoice=invoice, position=position).first()
        if line is None:
            raise NotFound(f"{number} has no line {position}", field="position")
        if line.model_id is None:
            return Response(adjustment_json(explain_adjustment(invoice, line)))
        explained = explain_line(invoice, line)
        events = events_of_line(invoice, line)
        if "cursor" in params:
            events = events_before(events, *_read_position(params["cursor"]))
        found = list(events[: limit + 1])
        page = found[:limit]
        cursor = encode_cursor(instant_text(page[-1].occurred_at), page[-1].event_id) if len(found) > limit else None
        return Response(
            {
                **explanation_json(explained),
                "events": [
                    {
                        **event_json(read),
                        "sold": None if read.cost_usd is None else usd(explained.sold_usd(read.event, read.cost_usd)),
                        "charge_krw": exact_json(explained.charge_krw(read.event, read.cost_usd)),
                    }
                    for read in EventReader(invoice.customer).read(page)
                ],
                "next_cursor": cursor,
            }
        )


def explanation_json(explained: LineExplanation) -> dict[str, Any]:
    """The steps without the events."""
    document = explained.document
    return {
        "kind": explained.line.kind,
        "invoice": document.number,
        "line": line_json(explained.line, document.margin),
        "exchange": exchange_json(document.exchange),
        "prices": [_price_json(share) for share in explained.prices],
        "days": [_day_json(day) for day in explained.days],
        "margin": decimal_text(explained.margin),
        "base_krw": exact_json(explained.base_krw),
        "exact_krw": exact_json(explained.exact_krw),
        "cut": krw(explained.cut_krw),
        "rounding": krw(explained.rounding_krw),
        "discounts": [
            {"position": one.position, "name": one.name, "amount": krw(one.amount_krw)} for one in explained.discounts
        ],
        "left": krw(explained.left_krw),
    }


def _price_json(share: PriceShare) -> dict[str, Any]:
    price = share.price
    return {
        "effective_from": instant_text(price.effective_from),
        "effective_to": None if price.effective_to is None else instant_text(price.effective_to),
        "components": price.components,
        "overrides": price.overrides,
        "requests": share.total.requests,
        "prompt_tokens": share.total.prompt_tokens,
        "completion_tokens": share.total.completion_tokens,
        "cost": usd(share.total.cost_usd),
    }


def _day_json(day: DayShare) -> dict[str, Any]:
    return {
        "day": day.used_on.isoformat(),
        "cost": usd(day.cost_usd),
        "rate": decimal_text(day.rate),
        "source_date": day.source_date.isoformat(),
        "base_krw": exact_json(day.base_krw),
    }


def _read_position(text: str) -> tuple[datetime, str]:
    parts = decode_cursor(text)
    if len(parts) != 2 or not all(isinstance(part, str) and part.isprintable() for part in parts):
        raise bad_cursor()
    try:
        return parse_instant(parts[0], field="cursor"), parts[1]
    except ValueError:
        raise bad_cursor() from None
