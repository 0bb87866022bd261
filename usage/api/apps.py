"""`GET /billing/v1/usage/apps`: a customer's own apps, the most expensive first."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import IsCustomerKey
from catalog.money import decimal_text
from usage.api.events import customer_asking
from usage.api.reading import (
    MAX_LIMIT,
    bad_cursor,
    decode_cursor,
    encode_cursor,
    read_limit,
    read_month,
    read_params,
)
from usage.periods import BillingMonth
from usage.selectors.apps import AppUsage, usage_by_app

_PROBLEMS = {
    400: "invalid_input: a parameter that is unknown or can't be read",
    401: "authentication_failed, not_authenticated",
    403: "permission_denied: not a customer's key",
}


class RankedAppDocument(serializers.Serializer):
    """What one app used in the month."""

    rank = serializers.IntegerField(help_text="From 1; equal costs stand in the order of their requests.")
    app = serializers.IntegerField(help_text="Its number, for the filter `app` of usage and events; 0: no app named.")
    app_title = serializers.CharField()
    app_referer = serializers.CharField()
    requests = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    cost_usd = serializers.CharField(help_text="At list price, exact: a plain decimal of USD.")


class AppRankingDocument(serializers.Serializer):
    """A page of the ranking."""

    month = serializers.CharField()
    rows = RankedAppDocument(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class UsageApps(APIView):
    """The ranking of one customer's apps."""

    permission_classes = [IsCustomerKey]

    @extend_schema(
        operation_id="list_usage_apps",
        summary="Your apps by cost",
        description=(
            "What each of your apps used in a Korean month, by the day on which it happened. An app is the pair of title "
            "and referer that its calls name (`X-Title`, `HTTP-Referer`); calls that name neither are one row."
        ),
        parameters=[
            OpenApiParameter("month", str, description="2026-10; this month if absent."),
            OpenApiParameter("limit", int, description=f"1 to {MAX_LIMIT}."),
            OpenApiParameter("cursor", str, description="`next_cursor` of the page before."),
        ],
        responses={
            200: AppRankingDocument,
            **{status: OpenApiResponse(description=codes) for status, codes in _PROBLEMS.items()},
        },
    )
    def get(self, request: Request) -> Response:
        customer = customer_asking(request)
        params = read_params(request, names=frozenset({"month", "limit", "cursor"}))
        month = read_month(params["month"], field="month") if "month" in params else BillingMonth.of(timezone.now())
        limit = read_limit(params)
        first = _read_rank(params["cursor"], month) if "cursor" in params else 0
        ranked = usage_by_app(customer, month.first_on, month.last_on)
        rows = [_json(rank, one) for rank, one in enumerate(ranked, 1)][first : first + limit]
        more = len(ranked) > first + limit
        return Response(
            {
                "month": str(month),
                "rows": rows,
                "next_cursor": encode_cursor(str(month), first + limit) if more else None,
            }
        )


def _json(rank: int, one: AppUsage) -> dict[str, str | int]:
    return {
        "rank": rank,
        "app": 0 if one.app is None else one.app.pk,
        "app_title": "" if one.app is None else one.app.title,
        "app_referer": "" if one.app is None else one.app.referer,
        "requests": one.total.requests,
        "prompt_tokens": one.total.prompt_tokens,
        "completion_tokens": one.total.completion_tokens,
        "cost_usd": decimal_text(one.total.cost_usd),
    }


def _read_rank(text: str, month: BillingMonth) -> int:
    """How many rows the pages before held."""
    parts = decode_cursor(text)
    if len(parts) != 2 or parts[0] != str(month) or type(parts[1]) is not int or parts[1] < 0:
        raise bad_cursor()
    return parts[1]
