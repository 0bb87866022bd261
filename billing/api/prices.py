"""`GET /billing/v1/prices`: the list price of a model at an instant."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.api.reading import read_instant, read_text
from billing.errors import NoPriceThen, UnknownModel
from catalog.models import Price
from catalog.selectors import find_model, price_in_force


class PriceDocument(serializers.Serializer):
    """One price of a model's history: the interval that holds the instant."""

    model = serializers.CharField(help_text="The model's id.")
    at = serializers.CharField()
    kind = serializers.ChoiceField(choices=Price.Kind.choices)
    currency = serializers.ChoiceField(choices=("USD",))
    components = serializers.DictField(
        child=serializers.CharField(), help_text="USD per token or unit as plain decimals; empty unless listed."
    )
    overrides = serializers.ListField(
        child=serializers.DictField(), help_text="Prices under a condition: long prompts, hours of the day (UTC)."
    )
    effective_from = serializers.CharField()
    effective_to = serializers.CharField(allow_null=True, help_text="null while no other price is known to follow.")
    source = serializers.CharField(  # type: ignore[assignment]  # a field's own `source` is another thing
        help_text="The listing or history that named it, or `announcement`."
    )


_PROBLEMS = {
    400: "invalid_input",
    401: "authentication_failed, not_authenticated",
    404: "unknown_model; no_price_then: the model had no price at that instant",
}


class Prices(APIView):
    """What a model cost at list price, at any instant."""

    @extend_schema(
        operation_id="get_price",
        summary="The price of a model at an instant",
        description="The price in force at that instant, or announced for it. A price of the past never changes.",
        parameters=[
            OpenApiParameter("model", str, required=True, description="Id, canonical slug or alias."),
            OpenApiParameter("at", str, description="RFC 3339 with a time zone; now if absent."),
        ],
        responses={
            200: PriceDocument,
            **{status: OpenApiResponse(description=codes) for status, codes in _PROBLEMS.items()},
        },
    )
    def get(self, request: Request) -> Response:
        name = read_text(request.query_params.get("model"), field="model")
        at = read_instant(request.query_params.get("at"), field="at")
        model = find_model(name)
        if model is None:
            raise UnknownModel(f"there is no model {name[:200]!r}", field="model")
        price = price_in_force(model, at=at)
        if price is None:
            raise NoPriceThen(f"{model.model_id} had no price at {at.isoformat()}", field="at")
        body: dict[str, Any] = {
            "model": model.model_id,
            "at": at.isoformat(),
            "kind": price.kind,
            "currency": "USD",
            "components": price.components,
            "overrides": price.overrides,
            "effective_from": price.effective_from.isoformat(),
            "effective_to": None if price.effective_to is None else price.effective_to.isoformat(),
            "source": price.source,
        }
        return Response(body)
