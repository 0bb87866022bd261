"""`GET /models` and what stands around it. See `catalog.urls` for the addresses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

from accounts.models import ApiKey, Customer
from accounts.selectors import authenticate_api_key
from catalog.api import shapes
from catalog.api.answers import (
    ApiError,
    bad_parameter,
    encode,
    json_answer,
    machine_edge,
    read_only,
    shown,
    unauthorized,
)
from catalog.api.filters import ALL, FORMATS, page_asked_for, select
from catalog.api.offers import Offer, current_offers
from catalog.models import Price


@read_only
def models(request: HttpRequest) -> HttpResponseBase:
    """The models on sale, or with a key those that its customer may call; `format=openrouter` is the provider listing."""
    now = timezone.now()
    return _list(request, _customer(request, now=now), now=now)


@read_only
def models_for_user(request: HttpRequest) -> HttpResponseBase:
    """The same, for a customer's key only."""
    now = timezone.now()
    if "Authorization" not in request.headers:
        raise unauthorized("This needs an API key: Authorization: Bearer sk-jeongsan-...")
    customer = _customer(request, now=now)
    if customer is None:
        raise ApiError(403, "permission_denied", "This needs a customer's API key; an ingest key has no models.")
    return _list(request, customer, now=now)


@read_only
def count(request: HttpRequest) -> HttpResponseBase:
    """How many models the list would hold."""
    now = timezone.now()
    customer = _customer(request, now=now)
    selected = select(current_offers(now=now).visible_to(customer), request.GET.dict(), now=now)
    return json_answer(request, encode({"data": {"count": len(selected)}}))


@read_only
def model(request: HttpRequest, name: str, *, wrapped: bool = False) -> HttpResponseBase:
    """One model by any of its names: bare for OpenAI's clients, or as `data` for OpenRouter's."""
    now = timezone.now()
    customer = _customer(request, now=now)
    offers = current_offers(now=now)
    offer, called = offers.named(name, customer)
    shape = shapes.detail_shape(
        offer.entry,
        offers.variants(offer, customer),
        routes_to=offers.routes(offer, customer),
        called=called,
    )
    return json_answer(request, encode({"data": shape} if wrapped else shape))


@read_only
def endpoints(request: HttpRequest, name: str) -> HttpResponseBase:
    """Where a model is served."""
    now = timezone.now()
    offer, _ = current_offers(now=now).named(name, _customer(request, now=now))
    shape = shapes.endpoints_shape(offer.entry, offer.model, offer.price, provider=offer.provider)
    return json_answer(request, encode({"data": shape}))


@read_only
def providers(request: HttpRequest) -> HttpResponseBase:
    """Who makes the models that are on sale (to the key's customer)."""
    now = timezone.now()
    visible = current_offers(now=now).visible_to(_customer(request, now=now))
    by_slug = {offer.provider.slug: offer.provider for offer in visible}
    return json_answer(request, encode({"data": [shapes.provider_shape(by_slug[slug]) for slug in sorted(by_slug)]}))


@machine_edge
def nothing(request: HttpRequest, path: str = "") -> HttpResponseBase:
    """Every other address of the edge."""
    raise ApiError(404, "not_found", f"There is nothing at {shown(request.path)}.")


def _list(request: HttpRequest, customer: Customer | None, *, now: datetime) -> HttpResponseBase:
    params = request.GET.dict()
    page = page_asked_for(params)
    visible = current_offers(now=now).visible_to(customer)
    asked = params.get("format", "").strip()
    if asked in FORMATS:
        # A marketplace reads everything that is flagged; it filters for itself.
        flagged = _flagged(select(visible, params, now=now, default_outputs=ALL))
        rows = [shapes.provider_listing_shape(offer.model, offer.price) for offer in page.of(flagged)]
        return json_answer(request, encode({"data": rows}))
    if asked:
        raise bad_parameter("format", asked, allowed=FORMATS)
    selected = select(visible, params, now=now)
    link = page.next_link(request.path, params, len(selected))
    parts = (
        b'{"object":"list","data":[',
        b",".join(offer.body for offer in page.of(selected)),
        b'],"total_count":',
        encode(len(selected)),
        b',"links":',
        encode({"next": link}),
        b"}",
    )
    return json_answer(request, b"".join(parts))


def _flagged(offers: Sequence[Offer]) -> list[Offer]:
    return [offer for offer in offers if offer.model.is_provider_listed and offer.price.kind == Price.Kind.LISTED]


def _customer(request: HttpRequest, *, now: datetime) -> Customer | None:
    """Whose key it is; None for an ingest key, and where there is none. Raises ApiError 401 for any that can't be used."""
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, secret = header.partition(" ")
    key: ApiKey | None = authenticate_api_key(secret.strip(), at=now) if scheme.lower() == "bearer" else None
    if key is None:
        raise unauthorized("The API key is missing or can't be used.")
    return key.customer
