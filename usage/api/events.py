"""A customer's events as JSON, each with its arithmetic: `GET /billing/v1/usage/events`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.errors import InvalidInput, NotFound
from accounts.models import ApiKey, Customer
from catalog.money import decimal_text, exact_product
from catalog.pricing import CostComponent
from usage.api.reading import (
    MAX_LIMIT,
    bad_cursor,
    decode_cursor,
    encode_cursor,
    read_api_key,
    read_app,
    read_limit,
    read_model,
    read_month,
    read_params,
)
from usage.periods import BillingMonth, parse_instant
from usage.selectors.events import (
    EventReader,
    EventScope,
    EventStatus,
    ReadEvent,
    event_by_id,
    events_before,
    events_of,
)

SCOPE_PARAMS = frozenset({"model", "api_key", "app", "status", "month", "billing_month", "from", "to"})
_PARAMS = SCOPE_PARAMS | {"id", "limit", "cursor"}
#: Priced by the piece; every other component is tokens.
_COUNTED = {"request": "request", "image": "image", "web_search": "search"}
_MILLION = 1_000_000


class ComponentDocument(serializers.Serializer):
    """One row of the arithmetic: quantity x unit price = amount, exactly."""

    key = serializers.CharField(help_text="The price key that was applied.")
    quantity = serializers.IntegerField(help_text="Tokens or counts.")
    unit_price_usd = serializers.CharField(help_text="USD per token or piece.")
    amount_usd = serializers.CharField()
    text = serializers.CharField(help_text="`12,345 tok x $2.50/M`")


class HeldDocument(serializers.Serializer):
    """Why it could not be priced on arrival."""

    code = serializers.CharField()
    detail = serializers.CharField()


class ExclusionDocument(serializers.Serializer):
    """Why it is never billed."""

    reason = serializers.CharField()
    replaced_by = serializers.CharField(allow_null=True, help_text="The id of the event that counts in its place.")


class EventDocument(serializers.Serializer):
    """One response that was metered."""

    id = serializers.CharField()
    occurred_at = serializers.CharField(help_text="RFC 3339, UTC.")
    billing_month = serializers.CharField(help_text="Whose invoice carries it.")
    status = serializers.ChoiceField(choices=[status.value for status in EventStatus])
    requested_model = serializers.CharField()
    served_model = serializers.CharField(help_text="As the response named it.")
    model = serializers.CharField(allow_null=True, help_text="The id of the model it is priced as.")
    api_key = serializers.CharField(allow_null=True, help_text="The key's prefix.")
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    cache_read_tokens = serializers.IntegerField()
    cache_write_tokens = serializers.IntegerField()
    cache_write_1h_tokens = serializers.IntegerField(help_text="Of the cache writes.")
    reasoning_tokens = serializers.IntegerField()
    audio_input_tokens = serializers.IntegerField()
    audio_output_tokens = serializers.IntegerField()
    image_output_tokens = serializers.IntegerField()
    images = serializers.IntegerField()
    web_searches = serializers.IntegerField()
    flags = serializers.ListField(child=serializers.CharField(), help_text="What was odd about its usage object.")
    app = serializers.IntegerField(help_text="The number of its app, for the filter `app`; 0 without one.")
    app_title = serializers.CharField()
    app_referer = serializers.CharField()
    cost_usd = serializers.CharField(allow_null=True, help_text="null unless priced.")
    components = ComponentDocument(many=True, allow_null=True, help_text="They add up to `cost_usd` exactly.")
    quarantine = HeldDocument(allow_null=True)
    exclusion = ExclusionDocument(allow_null=True, help_text="null unless excluded.")


class EventPageDocument(serializers.Serializer):
    """A page of events, newest first."""

    rows = EventDocument(many=True)
    next_cursor = serializers.CharField(allow_null=True)


SCOPE_PARAMETERS = [
    OpenApiParameter("model", str, description="Id, canonical slug or alias."),
    OpenApiParameter("api_key", str, description="The prefix of one of your keys."),
    OpenApiParameter("app", int, description="The number of one of your apps; 0 for events that name none."),
    OpenApiParameter("status", str, enum=[status.value for status in EventStatus]),
    OpenApiParameter(
        "month", str, description="2026-10: what happened in that KST month; this month if no time is named."
    ),
    OpenApiParameter("billing_month", str, description="2026-10: what that month's invoice carries."),
    OpenApiParameter("from", str, description="RFC 3339 with a time zone, included."),
    OpenApiParameter("to", str, description="RFC 3339 with a time zone, not included; now if absent."),
]
PROBLEMS = {
    400: "invalid_input: a parameter that is unknown or can't be read",
    401: "authentication_failed, not_authenticated",
    403: "permission_denied: not a customer's key",
    404: "not_found: no such event, key or app of yours, or no such model",
    410: "events_archived: some of the events are archived (`data.months`); their sums are still in /billing/v1/usage",
}


class EventListing:
    """The reading half of `usage/events`."""

    @extend_schema(
        operation_id="list_usage_events",
        summary="Your usage events, with the arithmetic of each",
        description="Newest first. An event that waits for a price or is excluded has no cost and is in no sum.",
        parameters=[
            OpenApiParameter("id", str, description="This one event, whenever it was."),
            *SCOPE_PARAMETERS,
            OpenApiParameter("limit", int, description=f"1 to {MAX_LIMIT}."),
            OpenApiParameter("cursor", str, description="`next_cursor` of the page before."),
        ],
        responses={
            200: EventPageDocument,
            **{status: OpenApiResponse(description=codes) for status, codes in PROBLEMS.items()},
        },
    )
    def get(self, request: Request) -> Response:
        customer = customer_asking(request)
        params = read_params(request, names=_PARAMS)
        if "id" in params:
            if len(params) > 1:
                raise InvalidInput("id: names one event, so nothing else goes with it", field="id")
            event = event_by_id(customer, params["id"])
            if event is None:
                raise NotFound("you have no usage event with this id", field="id")
            return Response(
                {"rows": [event_json(one) for one in EventReader(customer).read([event])], "next_cursor": None}
            )
        events = events_of(customer, read_scope(params, customer))
        if "cursor" in params:
            events = events_before(events, *_read_position(params["cursor"]))
        limit = read_limit(params)
        found = list(events[: limit + 1])
        page = found[:limit]
        more = len(found) > limit
        return Response(
            {
                "rows": [event_json(one) for one in EventReader(customer).read(page)],
                "next_cursor": encode_cursor(instant_text(page[-1].occurred_at), page[-1].event_id) if more else None,
            }
        )


def customer_asking(request: Request) -> Customer:
    """Whose key it is; for views that only customers' keys may call."""
    return cast(Customer, cast(ApiKey, request.auth).customer)


def read_scope(params: dict[str, str], customer: Customer) -> EventScope:
    """The scope that the parameters name; this KST month where they name no time."""
    ways = [way for way in (("billing_month",), ("month",), ("from", "to")) if any(name in params for name in way)]
    if len(ways) > 1:
        raise InvalidInput(f"{ways[1][0]}: can't be given together with {ways[0][0]}", field=ways[1][0])
    start_at = end_at = billing_month = None
    if "billing_month" in params:
        billing_month = read_month(params["billing_month"], field="billing_month")
    elif ways and "month" not in params:
        if "from" not in params:
            raise InvalidInput("from: needed with to", field="from")
        start_at = _read_instant(params["from"], field="from")
        end_at = _read_instant(params["to"], field="to") if "to" in params else timezone.now()
        if end_at <= start_at:
            raise InvalidInput("to: must be after from", field="to")
    else:
        month = read_month(params["month"], field="month") if "month" in params else BillingMonth.of(timezone.now())
        start_at, end_at = month.start_at, month.end_at
    if "status" in params and params["status"] not in set(EventStatus):
        raise InvalidInput(f"status: one of {', '.join(EventStatus)}", field="status")
    model, key = read_model(params), read_api_key(params, customer)
    return EventScope(
        start_at=start_at,
        end_at=end_at,
        billing_month=billing_month,
        model_pk=None if model is None else model.pk,
        api_key_pk=None if key is None else key.pk,
        app_pk=read_app(params, customer),
        status=EventStatus(params["status"]) if "status" in params else None,
    )


def event_json(read: ReadEvent) -> dict[str, Any]:
    """An event as it stands in our JSON (`EventDocument`)."""
    event = read.event
    return {
        "id": event.event_id,
        "occurred_at": instant_text(event.occurred_at),
        "billing_month": f"{event.billing_month:%Y-%m}",
        "status": read.status.value,
        "requested_model": event.requested_model,
        "served_model": event.served_model,
        "model": read.model_id,
        "api_key": read.api_key_prefix,
        "prompt_tokens": event.prompt_tokens,
        "completion_tokens": event.completion_tokens,
        "cache_read_tokens": event.cache_read_tokens,
        "cache_write_tokens": event.cache_write_tokens,
        "cache_write_1h_tokens": event.cache_write_1h_tokens,
        "reasoning_tokens": event.reasoning_tokens,
        "audio_input_tokens": event.audio_input_tokens,
        "audio_output_tokens": event.audio_output_tokens,
        "image_output_tokens": event.image_output_tokens,
        "images": event.images,
        "web_searches": event.web_searches,
        "flags": event.flags,
        "app": read.app_pk,
        "app_title": event.app_title,
        "app_referer": event.app_referer,
        "cost_usd": None if read.cost_usd is None else decimal_text(read.cost_usd),
        "components": None if read.components is None else [_component_json(row) for row in read.components],
        "quarantine": None if read.quarantine is None else dict(zip(("code", "detail"), read.quarantine, strict=True)),
        "exclusion": None
        if read.exclusion is None
        else {"reason": read.exclusion.reason, "replaced_by": read.exclusion.replaced_by or None},
    }


def arithmetic_text(row: CostComponent) -> str:
    """`12,345 tok x $2.50/M`; `3 search x $0.01` for what is priced by the piece. Exact, never rounded."""
    if row.key in _COUNTED:
        return f"{row.quantity:,} {_COUNTED[row.key]} x ${_cents(decimal_text(row.unit_price_usd))}"
    return f"{row.quantity:,} tok x ${_cents(decimal_text(exact_product(row.unit_price_usd, _MILLION)))}/M"


def instant_text(instant: datetime) -> str:
    """RFC 3339 in UTC."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _component_json(row: CostComponent) -> dict[str, Any]:
    return {
        "key": row.key,
        "quantity": row.quantity,
        "unit_price_usd": decimal_text(row.unit_price_usd),
        "amount_usd": decimal_text(row.amount_usd),
        "text": arithmetic_text(row),
    }


def _cents(text: str) -> str:
    """At least two decimals, as prices are written: 2.5 -> 2.50, 3 -> 3.00."""
    whole, _, decimals = text.partition(".")
    return f"{int(whole):,}.{decimals:0<2}"


def _read_instant(text: str, *, field: str) -> datetime:
    try:
        return parse_instant(text, field=field)
    except ValueError as error:
        raise InvalidInput(str(error), field=field) from None


def _read_position(text: str) -> tuple[datetime, str]:
    parts = decode_cursor(text)
    if len(parts) != 2 or not all(isinstance(part, str) and part.isprintable() for part in parts):
        raise bad_cursor()
    return _read_instant(parts[0], field="cursor"), parts[1]
