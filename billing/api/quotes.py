"""`POST /billing/v1/quote`: what one usage would be billed at."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.errors import InvalidInput
from accounts.models import ApiKey
from billing.api.amounts import AmountDocument, krw, usd
from billing.api.reading import read_instant, read_json_object, read_text
from billing.margins import Basis
from billing.selectors.quotes import Quote, quote
from billing.services.exchange import parse_rate
from catalog.money import decimal_text
from usage.dialects import DIALECTS

_FIELDS = frozenset({"model", "usage", "dialect", "at", "rate"})


class QuoteRequestDocument(serializers.Serializer):
    """A model and what it would consume. Unknown fields are refused."""

    model = serializers.CharField(help_text="Id, canonical slug or alias.")
    usage = serializers.DictField(help_text="A `usage` object as an upstream reports it, at most 16 kB.")
    dialect = serializers.ChoiceField(choices=DIALECTS, help_text="Whose `usage` object this is.")
    at = serializers.CharField(required=False, help_text="RFC 3339 with a time zone; now if absent.")
    rate = serializers.CharField(required=False, help_text="Won per USD, 100 to 10000, instead of the one in force.")


class QuoteRowDocument(serializers.Serializer):
    """One row of the arithmetic."""

    key = serializers.CharField(help_text="The price key that was applied.")
    quantity = serializers.IntegerField(help_text="Tokens or counts.")
    unit_price = AmountDocument()
    amount = AmountDocument()


class QuoteDocument(serializers.Serializer):
    """What the usage would be billed at, with everything needed to compute it again."""

    model = serializers.CharField(help_text="The model's id.")
    at = serializers.CharField()
    cost = AmountDocument(help_text="At list price.")
    supply = AmountDocument(help_text="공급가액: cost (by `basis`) x rate / (1 - margin), rounded once.")
    vat = AmountDocument(help_text="부가세.")
    total = AmountDocument()
    rate = serializers.CharField(help_text="Won per USD.")
    rate_source = serializers.CharField(help_text="Who published it for which day, `contract`, or `given`.")
    margin = serializers.CharField(help_text="Share of the selling price.")
    basis = serializers.ChoiceField(
        choices=[basis.value for basis in Basis],
        help_text="What it is reckoned on: list price, what the usage says that the upstream charged, or the higher.",
    )
    flags = serializers.ListField(child=serializers.CharField(), help_text="What was odd about the usage object.")
    components = QuoteRowDocument(many=True)


_EXAMPLE = {
    "model": "anthropic/claude-sonnet-4.5",
    "usage": {"prompt_tokens": 2000, "completion_tokens": 500, "total_tokens": 2500},
    "dialect": "openai_chat",
    "at": "2026-10-05T12:00:00+09:00",
}
_PROBLEMS = {
    400: "invalid_input: a field that can't be read, by name",
    401: "authentication_failed, not_authenticated",
    404: "unknown_model",
    409: "no_exchange_rate, no_margin_rule",
    413: "payload_too_large",
    415: "unsupported_media_type",
    422: "variable_price, quarantined_price, unpriced, unpriced_component: there is no number for this",
}


class Quotes(APIView):
    """The billing engine's own arithmetic on one model and one usage."""

    @extend_schema(
        operation_id="quote_usage",
        summary="Quote a usage",
        description=(
            "Prices a usage object at an instant. A customer's key is quoted by its contract: margin, rounding and "
            "exchange rule; any other key by the terms for everybody. A model with a variable price has no quote."
        ),
        request={"application/json": QuoteRequestDocument},
        responses={
            200: QuoteDocument,
            **{status: OpenApiResponse(description=codes) for status, codes in _PROBLEMS.items()},
        },
        examples=[OpenApiExample("a usage", value=_EXAMPLE, request_only=True, media_type="application/json")],
    )
    def post(self, request: Request) -> Response:
        body = read_json_object(request, fields=_FIELDS)
        dialect = read_text(body.get("dialect"), field="dialect")
        if dialect not in DIALECTS:
            raise InvalidInput(f"dialect: one of {', '.join(DIALECTS)}", field="dialect")
        if not isinstance(body.get("usage"), dict):
            raise InvalidInput("usage: an object is needed", field="usage")
        at = read_instant(body.get("at"), field="at")
        key = cast(ApiKey, request.auth)
        answer = quote(
            model=read_text(body.get("model"), field="model"),
            usage=body["usage"],
            dialect=dialect,
            at=at,
            rate=_rate(body.get("rate")),
            customer=key.customer,
        )
        return Response({"at": at.isoformat(), **quote_json(answer)})


def quote_json(answer: Quote) -> dict[str, Any]:
    """A quote as it stands in our JSON."""
    return {
        "model": answer.model_id,
        "cost": usd(answer.cost.total_usd),
        "supply": krw(answer.totals.supply_krw),
        "vat": krw(answer.totals.vat_krw),
        "total": krw(answer.totals.total_krw),
        "rate": decimal_text(answer.rate),
        "rate_source": answer.rate_source,
        "margin": decimal_text(answer.margin),
        "basis": answer.basis.value,
        "flags": list(answer.flags),
        "components": [
            {
                "key": row.key,
                "quantity": row.quantity,
                "unit_price": usd(row.unit_price_usd),
                "amount": usd(row.amount_usd),
            }
            for row in answer.cost.components
        ],
    }


def _rate(value: Any) -> Decimal | None:
    return None if value is None else parse_rate(read_text(value, field="rate"), field="rate")
