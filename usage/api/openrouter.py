"""What OpenRouter's clients read about usage: `/generation`, `/activity`, `/credits` and `/key`.

Every field of their contract stands in every answer; what we do not know is null. Costs are list prices in USD as JSON
numbers. `upstream_id` and `upstream_inference_cost` are always null: what an upstream charges is nobody else's affair.
"""

from __future__ import annotations

import re
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
from usage.periods import KST
from usage.selectors.activity import Activity, activity
from usage.selectors.events import EventReader, EventStatus, ReadEvent, event_by_id
from usage.selectors.groups import UsageScope, scope_total

ACTIVITY_DAYS = 30
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
#: Filters of OpenRouter's for things that do not exist here. Ignoring one would answer another question.
_NO_FILTERS = ("api_key_hash", "user_id", "group_by", "workspace_id")
#: Calls of free models are not rationed here; the contract wants a number all the same.
_NO_QUOTA = 2**31 - 1
_numbers = msgspec.json.Encoder(decimal_format="number")


@read_only
def generation(request: HttpRequest) -> HttpResponseBase:
    """One of the customer's own events. One that waits for a price has no cost to tell, so it is not found yet."""
    customer = _customer(_key(request, now=timezone.now()))
    event_id = request.GET.get("id", "")
    if not event_id or not event_id.isprintable():
        raise bad_parameter("id", event_id, expected="the id of a generation")
    event = event_by_id(customer, event_id)
    if event is None:
        raise ApiError(404, "not_found", f"There is no generation {shown(event_id)}.", param="id")
    [read] = EventReader(customer).read([event])
    if read.status is EventStatus.QUARANTINED:
        raise ApiError(404, "not_found", f"The generation {shown(event_id)} has no cost yet.", param="id")
    return _answer(request, _generation_shape(read))


@read_only
def daily_activity(request: HttpRequest) -> HttpResponseBase:
    """The last 30 completed UTC days by model, newest first; `date` picks one of them."""
    now = timezone.now()
    customer = _customer(_key(request, now=now))
    for name in _NO_FILTERS:
        if name in request.GET:
            raise ApiError(400, "invalid_request", f"{name}: activity can't be filtered or grouped by it.", param=name)
    end_at = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start_at = end_at - timedelta(days=ACTIVITY_DAYS)
    if "date" in request.GET:
        day = _date(request.GET["date"])
        if not start_at.date() <= day < end_at.date():
            raise bad_parameter("date", request.GET["date"], expected=f"one of the last {ACTIVITY_DAYS} full UTC days")
        start_at = datetime(day.year, day.month, day.day, tzinfo=UTC)
        end_at = start_at + timedelta(days=1)
    return _answer(request, [_activity_shape(one) for one in activity(customer, start_at, end_at)])


@read_only
def credits_of_customer(request: HttpRequest) -> HttpResponseBase:
    """Nothing is bought ahead here: usage is billed by the month, so there are no credits, and all usage ever."""
    customer = _customer(_key(request, now=timezone.now()))
    used = scope_total(customer, UsageScope()).cost_usd
    return _answer(request, {"total_credits": 0, "total_usage": _number(used)})


@read_only
def own_key(request: HttpRequest) -> HttpResponseBase:
    """The key that asks, with its own usage: of this Korean day, of the week since Monday, of the month, and ever."""
    now = timezone.now()
    key = _key(request, now=now)
    customer, today = _customer(key), now.astimezone(KST).date()
    since = {
        "usage_daily": today,
        "usage_weekly": today - timedelta(days=today.weekday()),
        "usage_monthly": today.replace(day=1),
    }
    usage = {"usage": _number(scope_total(customer, UsageScope(api_key_pk=key.pk)).cost_usd)}
    for name, first_on in since.items():
        scope = UsageScope(first_on=first_on, last_on=today, api_key_pk=key.pk)
        usage[name] = _number(scope_total(customer, scope).cost_usd)
    return _answer(request, _key_shape(key, usage))


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


def _answer(request: HttpRequest, data: Any) -> HttpResponseBase:
    return json_answer(request, _numbers.encode({"data": data}))


def _number(usd: Decimal) -> Decimal:
    """Without the zeros that the database keeps behind it."""
    return Decimal(decimal_text(usd))


def _date(text: str) -> date:
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise bad_parameter("date", text, expected="a day written as YYYY-MM-DD")


def _generation_shape(read: ReadEvent) -> dict[str, Any]:
    event = read.event
    # An excluded event is never billed, so 0 is what it costs.
    cost = _number(read.cost_usd if read.cost_usd is not None else ZERO)
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
        "provider_name": None if model is None else model.provider.name,
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
    "app_id",
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
    "num_media_prompt",
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
    "workspace_id",
)


def _activity_shape(one: Activity) -> dict[str, Any]:
    return {
        "date": one.day,
        "model": one.model.model_id,
        "model_permaslug": one.model.canonical_slug,
        "endpoint_id": one.model.model_id,  # a model has one endpoint here
        "provider_name": one.model.provider.name,
        "usage": _number(one.cost_usd),
        "byok_usage_inference": 0,
        "requests": one.requests,
        "prompt_tokens": one.prompt_tokens,
        "completion_tokens": one.completion_tokens,
        "reasoning_tokens": one.reasoning_tokens,
        "cached_tokens": one.cached_tokens,
    }


def _key_shape(key: ApiKey, usage: dict[str, Decimal]) -> dict[str, Any]:
    return {
        "label": f"{key.prefix}...{key.last4}",
        "limit": None,
        "limit_remaining": None,
        "limit_reset": None,
        **usage,
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
        "workspace_id": None,
        "rate_limit": {"requests": -1, "interval": "1h", "note": "This field is deprecated and safe to ignore."},
        "allowed_data_regions": ["global"],
        "budgets": [],
        "effective_budget": None,
        "free_model_daily_requests": {"limit": _NO_QUOTA, "remaining": _NO_QUOTA, "used": 0},
        "expires_at": None if key.expires_at is None else key.expires_at.astimezone(UTC).isoformat(),
    }
