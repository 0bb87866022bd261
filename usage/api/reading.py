"""Reading the query of a request: every parameter is known, given once and well formed, or the refusal names it."""

from __future__ import annotations

import base64
import binascii
import json
import re
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from rest_framework.request import Request

from accounts.errors import InvalidInput, NotFound
from accounts.models import ApiKey, Customer
from catalog.models import Model, Provider
from catalog.selectors import find_model
from usage.models import UsageApp
from usage.periods import KST, BillingMonth
from usage.zones import find_zone

MAX_LIMIT = 100
#: Of a span of days, so that no question reads for ever.
MAX_DAYS = 366
_MAX_VALUE_CHARS = 600
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NUMBER = re.compile(r"[0-9]{1,6}")
#: As of months: the days around them are days in every zone.
_FIRST_DAY, _LAST_DAY = date(2000, 1, 1), date(9998, 12, 31)


def read_params(request: Request, *, names: frozenset[str]) -> dict[str, str]:
    """The parameters that were given. Raises InvalidInput for one that is unknown, repeated, empty or unreadable."""
    params: dict[str, str] = {}
    for name, values in request.query_params.lists():
        if name not in names:
            allowed = ", ".join(sorted(names)) or "none"
            raise InvalidInput(f"{name[:60]!r} is not a parameter here; there are {allowed}", field=name[:60])
        if len(values) > 1:
            raise InvalidInput(f"{name}: given {len(values)} times", field=name)
        if not values[0] or len(values[0]) > _MAX_VALUE_CHARS or not values[0].isprintable():
            raise InvalidInput(f"{name}: not a text of 1 to {_MAX_VALUE_CHARS} printable characters", field=name)
        params[name] = values[0]
    return params


def read_zone(params: dict[str, str]) -> ZoneInfo:
    """The zone of the parameter `tz`, any of the tz database by its name; Korea's if nobody says."""
    zone = find_zone(params.get("tz", KST.key))
    if zone is None:
        raise InvalidInput(f"tz: not the name of a time zone, as {KST.key} or UTC", field="tz")
    return zone


def read_limit(params: dict[str, str]) -> int:
    """How many rows a page has: 1 to 100, 100 if nobody says."""
    text = params.get("limit", str(MAX_LIMIT))
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= MAX_LIMIT:
        raise InvalidInput(f"limit: 1 to {MAX_LIMIT}", field="limit")
    return int(text)


def read_month(text: str, *, field: str) -> BillingMonth:
    """A month written as 2026-10."""
    try:
        return BillingMonth.parse(text)
    except ValueError:
        raise InvalidInput(f"{field}: not a month written as YYYY-MM", field=field) from None


def read_date(text: str, *, field: str) -> date:
    """A day written as 2026-10-05, from the year 2000 to 9998."""
    try:
        if _DATE.fullmatch(text) and _FIRST_DAY <= (day := date.fromisoformat(text)) <= _LAST_DAY:
            return day
    except ValueError:
        pass
    raise InvalidInput(f"{field}: not a day written as YYYY-MM-DD, from the year 2000 to 9998", field=field)


def read_model(params: dict[str, str]) -> Model | None:
    """The model of the parameter `model` by any of its names; None where there is no such parameter, else NotFound."""
    if "model" not in params:
        return None
    model = find_model(params["model"])
    if model is None:
        raise NotFound(f"there is no model {params['model'][:200]!r}", field="model")
    return model


def read_provider(params: dict[str, str]) -> Provider | None:
    """The provider of the parameter `provider` by its slug; None where there is no such parameter, else NotFound."""
    if "provider" not in params:
        return None
    provider = Provider.objects.filter(slug=params["provider"]).first()
    if provider is None:
        raise NotFound(f"there is no provider {params['provider'][:100]!r}", field="provider")
    return provider


def read_api_key(params: dict[str, str], customer: Customer) -> ApiKey | None:
    """The customer's own key of the parameter `api_key` by its prefix, usable or not; somebody else's is NotFound too."""
    if "api_key" not in params:
        return None
    key = ApiKey.objects.filter(customer=customer, prefix=params["api_key"]).first()
    if key is None:
        raise NotFound("you have no API key with this prefix", field="api_key")
    return key


def read_app(params: dict[str, str], customer: Customer) -> int | None:
    """The customer's own app of the parameter `app` by its number; 0 for events without one, None where nobody says."""
    text = params.get("app")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidInput("app: the number of one of your apps, or 0 for events that name none", field="app")
    pk = int(text)
    if pk and not UsageApp.objects.filter(customer=customer, pk=pk).exists():
        raise NotFound("you have no app with this number", field="app")
    return pk


def encode_cursor(*parts: str | int) -> str:
    """Where the next page begins, as text that fits an address."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def decode_cursor(text: str) -> list[Any]:
    """What `encode_cursor` was given. Raises InvalidInput for any other text."""
    try:
        parts = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise bad_cursor() from None
    if not isinstance(parts, list):
        raise bad_cursor()
    return parts


def bad_cursor() -> InvalidInput:
    """The refusal of a cursor that is none of ours, or of another question."""
    return InvalidInput("cursor: send the next_cursor of an answer to the same question", field="cursor")
