"""`GET /billing/v1/usage`: what a customer used, in sums that equal its invoices."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any, cast

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import IsCustomerKey
from accounts.errors import InvalidInput
from accounts.models import ApiKey, Customer
from billing.selectors.invoiced import InvoicedLine, InvoicedMonth, invoiced_month
from catalog.money import decimal_text
from usage.api.reading import (
    MAX_DAYS,
    MAX_LIMIT,
    bad_cursor,
    decode_cursor,
    encode_cursor,
    read_api_key,
    read_app,
    read_date,
    read_limit,
    read_model,
    read_month,
    read_params,
    read_provider,
    read_zone,
)
from usage.models.rollups import SUMMED
from usage.periods import KST, BillingMonth, parse_instant
from usage.selectors import Consumption
from usage.selectors.groups import (
    GROUPS,
    MAX_EVENT_DAYS,
    TIMES,
    Position,
    UsageGroup,
    UsageScope,
    group_names,
    grouped_apps,
    scope_total,
    usage_groups,
)

_PARAMS = frozenset(
    {"group_by", "billing_month", "month", "from", "to", "tz", "model", "provider", "api_key", "app", "limit", "cursor"}
)
_DATED = ("day", "month")
#: What is told of a sum, in this order; what upstreams charged is not.
_COUNTS = SUMMED[:-2]
#: An invoice has a line per month of occurrence and model: what is grouped finer has no won of its own.
_LINE_PARTS: dict[str, Callable[[InvoicedLine], date | int]] = {
    "month": lambda line: line.month_on,
    "model": lambda line: line.model_pk,
    "provider": lambda line: line.provider_pk,
}
_PK_MAX = 2**63 - 1


class UsageSumDocument(serializers.Serializer):
    """Sums of priced events. Cache and audio input tokens lie inside the prompt's, the one-hour writes inside all cache
    writes; reasoning, audio and image output tokens inside the completion's.
    """

    requests = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    cache_read_tokens = serializers.IntegerField()
    cache_write_tokens = serializers.IntegerField()
    cache_write_1h_tokens = serializers.IntegerField()
    reasoning_tokens = serializers.IntegerField()
    audio_input_tokens = serializers.IntegerField()
    audio_output_tokens = serializers.IntegerField()
    image_output_tokens = serializers.IntegerField()
    images = serializers.IntegerField()
    web_searches = serializers.IntegerField()
    cost_usd = serializers.CharField(help_text="At list price, exact: a plain decimal of USD.")
    supply_krw = serializers.CharField(
        allow_null=True,
        help_text="공급가액 on the invoice, whole won. null unless `billing_month` is closed and the row is whole lines "
        "of the invoice: grouped by (Korean) month, model or provider, and not filtered by `api_key` or `app`.",
    )


class UsageRowDocument(UsageSumDocument):
    """One row; it has the fields that `group_by` names."""

    hour = serializers.CharField(required=False, help_text="When it begins, RFC 3339 on the clock of `tz`.")
    day = serializers.CharField(required=False, help_text="Day of `tz`.")
    month = serializers.CharField(required=False, help_text="Month of `tz` in which it happened.")
    model = serializers.CharField(required=False, help_text="The id of the model that answered.")
    provider = serializers.CharField(required=False)
    api_key = serializers.CharField(required=False, allow_null=True, help_text="Its prefix; null without a key.")
    app = serializers.IntegerField(required=False, help_text="Its number, for the filter `app`; 0 without an app.")
    app_title = serializers.CharField(required=False)
    app_referer = serializers.CharField(required=False)


class UsageDocument(serializers.Serializer):
    """A page of rows, and the sum of all pages."""

    group_by = serializers.ListField(child=serializers.ChoiceField(choices=GROUPS))
    tz = serializers.CharField()
    billing_month = serializers.CharField(allow_null=True)
    first_day = serializers.CharField(allow_null=True, help_text="null with `billing_month`.")
    last_day = serializers.CharField(allow_null=True)
    invoice_number = serializers.CharField(allow_null=True)
    rows = UsageRowDocument(many=True)
    total = UsageSumDocument()
    next_cursor = serializers.CharField(allow_null=True)


_PROBLEMS = {
    400: "invalid_input: a parameter that is unknown or can't be read, or too many days of a zone with half hours",
    401: "authentication_failed, not_authenticated",
    403: "permission_denied: not a customer's key",
    404: "not_found: no such model or provider, or no such key or app of yours",
    410: "events_archived: a zone with half hours needs single events, which stand in files by now",
}


class Usage(APIView):
    """Sums of one customer's usage."""

    permission_classes = [IsCustomerKey]

    @extend_schema(
        operation_id="get_usage",
        summary="Usage in sums",
        description=(
            "Your priced usage, summed by one or two of hour, day, month, model, key, app and provider. `billing_month` "
            "is exactly what that month's invoice bills, late usage of earlier months included; `month` or `from` and "
            "`to` mean the days on which it happened; without any of them it is this month. For a closed "
            "`billing_month` the won of each row are those of the invoice. Hours, days and months are Korean unless `tz` "
            "names another zone; billing months always are. In a zone that is half or quarter hours away from UTC "
            f"{MAX_EVENT_DAYS} days at once are possible. Quarantined and excluded events are in no sum."
        ),
        parameters=[
            OpenApiParameter("group_by", str, description=f"One or two of {', '.join(GROUPS)}; `day` if absent."),
            OpenApiParameter("billing_month", str, description="2026-10: what that month's invoice bills."),
            OpenApiParameter("month", str, description="2026-10: what happened in that month."),
            OpenApiParameter("from", str, description="First day, 2026-10-01; goes with `to`."),
            OpenApiParameter("to", str, description=f"Last day, included; at most {MAX_DAYS} days."),
            OpenApiParameter("tz", str, description="Name in the tz database; Asia/Seoul if absent."),
            OpenApiParameter("model", str, description="Id, canonical slug or alias."),
            OpenApiParameter("provider", str, description="Slug."),
            OpenApiParameter("api_key", str, description="The prefix of one of your keys."),
            OpenApiParameter("app", int, description="The number of one of your apps; 0 for events that name none."),
            OpenApiParameter("limit", int, description=f"1 to {MAX_LIMIT}."),
            OpenApiParameter("cursor", str, description="`next_cursor` of the page before."),
        ],
        responses={
            200: UsageDocument,
            **{status: OpenApiResponse(description=codes) for status, codes in _PROBLEMS.items()},
        },
    )
    def get(self, request: Request) -> Response:
        customer = cast(Customer, cast(ApiKey, request.auth).customer)
        params = read_params(request, names=_PARAMS)
        by = _read_groups(params)
        scope = _read_scope(params, customer)
        after = _read_position(params["cursor"], by, scope) if "cursor" in params else None
        limit = read_limit(params)
        groups = usage_groups(customer, scope, by, after=after, limit=limit + 1)
        page = groups[:limit]
        row_json = _row_reader(by, page, scope)
        invoiced = _invoiced(customer, scope)
        won = _won_by_position(invoiced, scope, by)
        total_won = None if invoiced is None else sum(one.supply_krw for one in _lines(invoiced, scope))
        return Response(
            {
                "group_by": by,
                "tz": scope.zone.key,
                "billing_month": None if scope.billing_month is None else str(scope.billing_month),
                "first_day": None if scope.first_on is None else scope.first_on.isoformat(),
                "last_day": None if scope.last_on is None else scope.last_on.isoformat(),
                "invoice_number": None if invoiced is None else invoiced.number,
                "rows": [row_json(one.position) | _sum_json(one.total, won(one.position)) for one in page],
                "total": _sum_json(scope_total(customer, scope), total_won),
                "next_cursor": _cursor(by, scope, page[-1].position) if len(groups) > limit else None,
            }
        )


def _read_groups(params: dict[str, str]) -> list[str]:
    by = params.get("group_by", "day").split(",")
    if len(by) > 2 or len(set(by)) < len(by) or not set(by) <= set(GROUPS):
        raise InvalidInput(f"group_by: one or two of {', '.join(GROUPS)}", field="group_by", allowed=list(GROUPS))
    return by


def _read_scope(params: dict[str, str], customer: Customer) -> UsageScope:
    ways = [way for way in (("billing_month",), ("month",), ("from", "to")) if any(name in params for name in way)]
    if len(ways) > 1:
        raise InvalidInput(f"{ways[1][0]}: can't be given together with {ways[0][0]}", field=ways[1][0])
    zone = read_zone(params)
    billing_month = first_on = last_on = None
    if "billing_month" in params:
        billing_month = read_month(params["billing_month"], field="billing_month")
    elif ways and ways[0] == ("from", "to"):
        for name in ways[0]:
            if name not in params:
                raise InvalidInput(f"{name}: from and to go together", field=name)
        first_on, last_on = read_date(params["from"], field="from"), read_date(params["to"], field="to")
        if not 0 <= (last_on - first_on).days < MAX_DAYS:
            raise InvalidInput(f"to: 1 to {MAX_DAYS} days from `from` on", field="to")
    else:
        today = timezone.now().astimezone(zone)
        this_month = BillingMonth(today.year, today.month)
        month = read_month(params["month"], field="month") if "month" in params else this_month
        first_on, last_on = month.first_on, month.last_on
    model, provider, key = read_model(params), read_provider(params), read_api_key(params, customer)
    return UsageScope(
        billing_month=billing_month,
        first_on=first_on,
        last_on=last_on,
        zone=zone,
        model_pk=None if model is None else model.pk,
        provider_pk=None if provider is None else provider.pk,
        api_key_pk=None if key is None else key.pk,
        app_pk=read_app(params, customer),
    )


def _invoiced(customer: Customer, scope: UsageScope) -> InvoicedMonth | None:
    if scope.billing_month is None or scope.api_key_pk is not None or scope.app_pk is not None:
        return None
    return invoiced_month(customer, scope.billing_month)


def _lines(invoiced: InvoicedMonth, scope: UsageScope) -> list[InvoicedLine]:
    return [line for line in invoiced.lines if scope.holds_model(line.model_pk, line.provider_pk)]


def _won_by_position(
    invoiced: InvoicedMonth | None, scope: UsageScope, by: list[str]
) -> Callable[[Position], int | None]:
    """The won of a row: of all lines that it is made of, or None where lines would have to be cut."""
    # The months of an invoice's lines are Korean.
    if invoiced is None or not set(by) <= set(_LINE_PARTS) or ("month" in by and scope.zone != KST):
        return lambda position: None
    won: dict[Position, int] = {}
    for line in _lines(invoiced, scope):
        position = tuple(_LINE_PARTS[name](line) for name in by)
        won[position] = won.get(position, 0) + line.supply_krw
    return lambda position: won.get(position, 0)


def _row_reader(by: list[str], page: list[UsageGroup], scope: UsageScope) -> Callable[[Position], dict[str, Any]]:
    """What a row says of its position."""
    names, apps = group_names(by, page), grouped_apps(by, page)

    def read(position: Position) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for name, value in zip(by, position, strict=True):
            if isinstance(value, datetime):
                row[name] = value.astimezone(scope.zone).isoformat()
            elif isinstance(value, date):
                row[name] = value.isoformat() if name == "day" else f"{value:%Y-%m}"
            elif name == "app":
                app = apps.get(value)
                row |= {"app": value, "app_title": app.title if app else "", "app_referer": app.referer if app else ""}
            else:
                row["api_key" if name == "key" else name] = names[name].get(value)
        return row

    return read


def _sum_json(total: Consumption, supply_krw: int | None) -> dict[str, Any]:
    return {name: getattr(total, name) for name in _COUNTS} | {
        "cost_usd": decimal_text(total.cost_usd),
        "supply_krw": None if supply_krw is None else str(supply_krw),
    }


def _question(by: list[str], scope: UsageScope) -> str:
    """What a cursor must have come from: positions of another grouping or clock would mean something else."""
    return f"{','.join(by)}@{scope.zone.key}"


def _cursor(by: list[str], scope: UsageScope, position: Position) -> str:
    parts = (value.isoformat() if isinstance(value, date) else value for value in position)
    return encode_cursor(_question(by, scope), *parts)


def _read_position(text: str, by: list[str], scope: UsageScope) -> Position:
    asked, *parts = decode_cursor(text) or [None]
    if asked != _question(by, scope) or len(parts) != len(by):
        raise bad_cursor()
    position: list[datetime | date | int] = []
    for name, part in zip(by, parts, strict=True):
        if name == "hour" and isinstance(part, str):
            position.append(_read_hour(part))
        elif name in _DATED and isinstance(part, str):
            position.append(read_date(part, field="cursor"))
        elif name not in TIMES and type(part) is int and 0 <= part <= _PK_MAX:
            position.append(part)
        else:
            raise bad_cursor()
    return tuple(position)


def _read_hour(text: str) -> datetime:
    try:
        return parse_instant(text, field="cursor")
    except ValueError:
        raise bad_cursor() from None
