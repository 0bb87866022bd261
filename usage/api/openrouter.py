"""What OpenRouter's clients read about usage: `/generation`, `/activity` and `/key`; `/credits` is billing's.

Every field of their contract stands in every answer; what we do not know is null. Costs are list prices in USD as JSON
numbers. `upstream_id` and `upstream_inference_cost` are always null: what an upstream charges is nobody else's affair.
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import msgspec
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

from accounts.models import ApiKey, Customer
from accounts.selectors import authenticate_api_key
from catalog.api.answers import ApiError, bad_parameter, json_answer, read_only, shown, unauthorized
from catalog.models import Model
from catalog.money import ZERO, decimal_text
from usage.errors import EventsArchived
from usage.models import UsageEvent
from usage.periods import KST
from usage.selectors.activity import Activity, activity
from usage.selectors.events import EventReader, EventStatus, ReadEvent, event_by_any_id, event_by_id
from usage.selectors.keys import KeyUsage, key_usage

ACTIVITY_DAYS = 30
_HASH = re.compile(r"[0-9a-f]{64}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
#: A customer has one workspace; its id is made of the customer's number, as clients want a UUID.
_WORKSPACES = uuid.UUID("6f9d2a52-0c0e-4c58-9d0b-6f1c7b1d7b5e")
#: Calls of free models are not rationed here; the contract wants a number all the same.
_NO_QUOTA = 2**31 - 1
_numbers = msgspec.json.Encoder(decimal_format="number")


def generation(request: HttpRequest) -> dict[str, Any]:
    """One of the customer's own events, by our id or its upstream's, as clients read it; the gateway answers with it and
    adds what only it knows of its calls.

    One that was replaced answers with what counts in its place, one that waits for a price is not found yet.
    """
    customer = calling_customer(request)
    event_id = request.GET.get("id", "")
    if not event_id or not event_id.isprintable():
        raise bad_parameter("id", event_id, expected="the id of a generation")
    try:
        event = event_by_any_id(customer, event_id)
        read = _in_force(customer, event)
    except EventsArchived:
        raise ApiError(410, "gone", f"The generation {shown(event_id)} is archived.", param="id") from None
    if event is None or read is None:
        raise ApiError(404, "not_found", f"There is no generation {shown(event_id)}.", param="id")
    if read.status is EventStatus.QUARANTINED:
        raise ApiError(404, "not_found", f"The generation {shown(event_id)} has no cost yet.", param="id")
    return {**_generation_shape(read), "id": event.event_id}


@read_only
def daily_activity(request: HttpRequest) -> HttpResponseBase:
    """The last 30 completed UTC days by model, newest first; `date` picks one of them, `api_key_hash` one of the keys.

    A customer has one workspace, so `workspace_id` can only name that, and `group_by=workspace` adds it to each row.
    """
    now = timezone.now()
    customer = _customer(_key(request, now=now))
    last_on = now.astimezone(UTC).date() - timedelta(days=1)
    first_on = last_on - timedelta(days=ACTIVITY_DAYS - 1)
    if "date" in request.GET:
        day = _date(request.GET["date"])
        if not first_on <= day <= last_on:
            raise bad_parameter("date", request.GET["date"], expected=f"one of the last {ACTIVITY_DAYS} full UTC days")
        first_on = last_on = day
    if "user_id" in request.GET:
        raise ApiError(400, "invalid_request", "user_id: calls belong to keys here, not to users.", param="user_id")
    workspace = _workspace_id(customer)
    if request.GET.get("workspace_id", workspace) != workspace:
        raise ApiError(404, "not_found", "You have no such workspace.", param="workspace_id")
    if request.GET.get("group_by", "workspace") != "workspace":
        raise bad_parameter("group_by", request.GET["group_by"], expected="workspace")
    key_pk = _hashed_key(customer, request.GET["api_key_hash"]).pk if "api_key_hash" in request.GET else None
    rows = [_activity_shape(one) for one in activity(customer, first_on, last_on, api_key_pk=key_pk)]
    if "group_by" in request.GET:
        rows = [row | {"workspace_id": workspace} for row in rows]
    return answer(request, rows)


@read_only
def own_key(request: HttpRequest) -> HttpResponseBase:
    """The key that asks, with its own usage: of this Korean day, of the week since Monday, of the month, and ever."""
    now = timezone.now()
    key = _key(request, now=now)
    used = key_usage(_customer(key), key.pk, today=now.astimezone(KST).date())
    return answer(request, _key_shape(key, used))


def calling_customer(request: HttpRequest) -> Customer:
    """The customer whose key calls. Raises ApiError: 401, or 403 for an operator's key."""
    return _customer(_key(request, now=timezone.now()))


def answer(request: HttpRequest, data: Any) -> HttpResponseBase:
    """`data` as clients expect it; Decimals become JSON numbers."""
    return json_answer(request, _numbers.encode({"data": data}))


def plain_number(usd: Decimal) -> Decimal:
    """Without the zeros that the database keeps behind it."""
    return Decimal(decimal_text(usd))


def _key(request: HttpRequest, *, now: datetime) -> ApiKey:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    key = authenticate_api_key(secret.strip(), at=now) if scheme.lower() == "bearer" else None
    if key is None:
        raise unauthorized("The API key is missing or can't be used.")
    if key.scope != ApiKey.Scope.CUSTOMER:
        raise ApiError(403, "permission_denied", "This needs a customer's API key.")
    return key


def _customer(key: ApiKey) -> Customer:
    return cast(Customer, key.customer)


def _workspace_id(customer: Customer) -> str:
    return str(uuid.uuid5(_WORKSPACES, str(customer.pk)))


def _hashed_key(customer: Customer, text: str) -> ApiKey:
    """The customer's own key with that hash (the digest that is kept of it, in hexadecimal)."""
    if not _HASH.fullmatch(text):
        raise bad_parameter("api_key_hash", text, expected="64 hexadecimal digits")
    key = ApiKey.objects.filter(customer=customer, digest=bytes.fromhex(text)).first()
    if key is None:
        raise ApiError(404, "not_found", "You have no API key with this hash.", param="api_key_hash")
    return key


def _date(text: str) -> date:
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise bad_parameter("date", text, expected="a day written as YYYY-MM-DD")


def _in_force(customer: Customer, event: UsageEvent | None) -> ReadEvent | None:
    """The event, or the last one that was put in its place."""
    reader = EventReader(customer)
    while event is not None:
        [read] = reader.read([event])
        if read.exclusion is None or not read.exclusion.replaced_by:
            return read
        event = event_by_id(customer, read.exclusion.replaced_by)
    return None


def _generation_shape(read: ReadEvent) -> dict[str, Any]:
    event = read.event
    # An excluded event is never billed, so 0 is what it costs.
    cost = plain_number(read.cost_usd if read.cost_usd is not None else ZERO)
    model = None if read.model_id is None else Model.objects.select_related("provider").get(model_id=read.model_id)
    known = {
        "id": event.event_id,
        "model": event.served_model if model is None else model.model_id,
        "created_at": event.occurred_at.astimezone(UTC).isoformat(),
        "usage": cost,
        "total_cost": cost,
        "is_byok": False,
        "origin": event.app_referer,
        "data_region": "global",
        "http_referer": event.app_referer or None,
        "app_id": read.app_pk or None,
        "workspace_id": _workspace_id(Customer(pk=event.customer_id)),
        "provider_name": None if model is None else model.provider.name,
        "num_media_prompt": event.images,
        "tokens_prompt": event.prompt_tokens,
        "tokens_completion": event.completion_tokens,
        "native_tokens_prompt": event.prompt_tokens,
        "native_tokens_completion": event.completion_tokens,
        "native_tokens_reasoning": event.reasoning_tokens,
        "native_tokens_cached": event.cache_read_tokens,
        "native_tokens_completion_images": event.image_output_tokens,
    }
    return dict.fromkeys(_GENERATION_UNKNOWN) | known


_GENERATION_UNKNOWN = (
    "api_type",
    "cache_discount",
    "cancelled",
    "external_user",
    "finish_reason",
    "generation_time",
    "latency",
    "moderation_latency",
    "native_finish_reason",
    "num_fetches",
    "num_input_audio_prompt",
    "num_media_completion",
    "num_search_results",
    "preset_id",
    "provider_responses",
    "request_id",
    "response_cache_source_id",
    "router",
    "service_tier",
    "session_id",
    "streamed",
    "upstream_id",
    "upstream_inference_cost",
    "user_agent",
    "web_search_engine",
)


def _activity_shape(one: Activity) -> dict[str, Any]:
    return {
        "date": one.day.isoformat(),
        "model": one.model.model_id,
        "model_permaslug": one.model.canonical_slug,
        "endpoint_id": one.model.model_id,  # a model has one endpoint here
        "provider_name": one.model.provider.name,
        "usage": plain_number(one.total.cost_usd),
        "byok_usage_inference": 0,
        "requests": one.total.requests,
        "prompt_tokens": one.total.prompt_tokens,
        "completion_tokens": one.total.completion_tokens,
        "reasoning_tokens": one.total.reasoning_tokens,
        "cached_tokens": one.total.cache_read_tokens,
    }


def _key_shape(key: ApiKey, used: KeyUsage) -> dict[str, Any]:
    limit = key.monthly_limit_usd
    return {
        "label": f"{key.prefix}...{key.last4}",
        "limit": None if limit is None else plain_number(limit),
        "limit_remaining": None if limit is None else plain_number(max(limit - used.month_usd, ZERO)),
        "limit_reset": None if limit is None else "monthly",
        "usage": plain_number(used.ever_usd),
        "usage_daily": plain_number(used.day_usd),
        "usage_weekly": plain_number(used.week_usd),
        "usage_monthly": plain_number(used.month_usd),
        "byok_usage": 0,
        "byok_usage_daily": 0,
        "byok_usage_weekly": 0,
        "byok_usage_monthly": 0,
        "include_byok_in_limit": False,
        "is_free_tier": False,
        "is_management_key": False,
        "is_provisioning_key": False,
        "creator_user_id": None,
        "organization_id": None,
        "workspace_id": _workspace_id(_customer(key)),
        "rate_limit": {"requests": -1, "interval": "1h", "note": "This field is deprecated and safe to ignore."},
        "allowed_data_regions": ["global"],
        "budgets": [],
        "effective_budget": None,
        "free_model_daily_requests": {"limit": _NO_QUOTA, "remaining": _NO_QUOTA, "used": 0},
        "expires_at": None if key.expires_at is None else key.expires_at.astimezone(UTC).isoformat(),
    }
