"""One model for everybody: what it is, what it costs, what a month of it would cost in won, how to call it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.errors import DomainError
from accounts.models import Customer, User
from accounts.selectors import customers_of
from billing.errors import NoExchangeRate, NoMarginRule
from billing.formatting import percent_text
from billing.selectors.quotes import Quote, monthly_estimate
from catalog.api.shapes import supported_parameters
from catalog.models import Model
from catalog.selectors import price_in_force, router_price_range
from portal.prose import mentioned_model_ids, prose
from portal.selectors.storefront import ShelfItem, known_model_ids, model_called, price_steps, routed_items
from portal.snippets import snippets
from portal.views.storefront_forms import EstimateForm

_SHOWN_NAME_CHARS = 100


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the calculator says: a quote, or why there is none. `model_id` is the model that was calculated with."""

    model_id: str
    quote: Quote | None = None
    problem: str = ""
    customer: Customer | None = None

    @property
    def percent(self) -> str:
        """The fee rate in percent."""
        return percent_text(self.quote.margin) if self.quote else ""


@require_safe
def models_page_with_slash(request: HttpRequest) -> HttpResponse:
    """The list has one address."""
    query = request.META.get("QUERY_STRING", "")
    return HttpResponsePermanentRedirect(reverse("portal:models") + (f"?{query}" if query else ""))


@require_safe
def model_page(request: HttpRequest, name: str) -> HttpResponse:
    """The page of the model with that id. Its other names lead there; a name that nobody has is a 404."""
    now = timezone.now()
    model = model_called(name.removesuffix("/"), at=now)
    if model is None:
        shown = name if len(name) <= _SHOWN_NAME_CHARS else name[:_SHOWN_NAME_CHARS] + "…"
        return render(request, "portal/storefront/no_model.html", {"name": shown}, status=404)
    if name != model.model_id:
        query = request.META.get("QUERY_STRING", "")
        return HttpResponseRedirect(_url(model.model_id) + (f"?{query}" if query else ""))
    context: dict[str, Any] = {"now": now, "steps": price_steps(model), **_identity(model, now)}
    if model.status == Model.Status.RETIRED:
        return render(request, "portal/storefront/model.html", {**context, "is_retired": True})
    item: ShelfItem = context["item"]
    customer = _customer_of(request)
    routed = routed_items(model, at=now) if item.price.kind == "variable" else []
    form = EstimateForm(request.GET, routed_ids=[one.model.model_id for one in routed])
    is_valid = form.is_valid()
    context |= {
        "form": form,
        "routed": [(one, _calculated_with(one, form)) for one in routed],
        "range": router_price_range(model, at=now) if routed else None,
        "estimate": _estimate(form, item, customer, now) if is_valid else None,
        "snippets": snippets(model_id=model.model_id, base_url=_base_url(request), greeting=_("Hello")),
        "base_url": _base_url(request),
        "keys_url": _keys_url(request, customer),
    }
    return render(request, "portal/storefront/model.html", context, status=200 if is_valid else 400)


def _identity(model: Model, now: datetime) -> dict[str, Any]:
    """What is true of a model whether it is on sale or not."""
    own_pages = known_model_ids(mentioned_model_ids(model.description))
    limits = model.listing.get("top_provider")
    most = limits.get("max_completion_tokens") if isinstance(limits, dict) else None
    return {
        "model": model,
        "item": ShelfItem.of(model, price_in_force(model, at=now)),
        "description": prose(model.description, model_url=_own_page(own_pages)),
        "parameters": supported_parameters(model),
        "max_output_tokens": most if type(most) is int and most > 0 else None,
        "ends_on": _day(model.listing.get("expiration_date")),
        "aliases": list(model.aliases.values_list("alias", flat=True)),
    }


def _calculated_with(routed: ShelfItem, form: EstimateForm) -> str:
    """The same amounts on a router's page, calculated with one of its models."""
    amounts = {name: form.data[name] for name in ("input", "output") if name not in form.errors}
    return f"?{urlencode({'as': routed.model.model_id, **amounts})}#estimate"


def _own_page(known: set[str]) -> Callable[[str], str | None]:
    return lambda model_id: _url(model_id) if model_id in known else None


def _estimate(form: EstimateForm, item: ShelfItem, customer: Customer | None, now: datetime) -> Estimate | None:
    """The billing engine's own quote; None where there is nothing to calculate with (no price, no model chosen)."""
    asked = form.cleaned_data
    model_id = item.model.model_id if item.price.sheet is not None else asked.get("as", "")
    if not model_id:
        return None
    try:
        quote = monthly_estimate(
            model=model_id, input_tokens=asked["input"], output_tokens=asked["output"], at=now, customer=customer
        )
    except NoExchangeRate:
        problem = _("No exchange rate is in force today, so there is no amount in won. The price in USD stands.")
    except NoMarginRule:
        problem = _("No fee rate is in force today, so there is no amount in won. The price in USD stands.")
    except DomainError:
        # Its price or the model itself changed while this page was being made.
        problem = _("The price of this model is changing right now. Please load the page again.")
    else:
        return Estimate(model_id, quote=quote, customer=customer)
    return Estimate(model_id, problem=problem)


def _customer_of(request: HttpRequest) -> Customer | None:
    """Whose terms hold: those of a logged-in person's first customer, as on the front door; else everybody's."""
    return customers_of(request.user).first() if isinstance(request.user, User) else None


def _keys_url(request: HttpRequest, customer: Customer | None) -> str:
    """Where a key is made: the customer's keys, or for somebody who is not logged in the login."""
    if customer is not None:
        return reverse("portal:keys", args=[customer.slug])
    return reverse("portal:home" if request.user.is_authenticated else "portal:login")


def _base_url(request: HttpRequest) -> str:
    return f"{settings.PUBLIC_BASE_URL or request.build_absolute_uri('/').rstrip('/')}/v1"


def _url(model_id: str) -> str:
    return reverse("portal:model", args=[model_id])


def _day(value: Any) -> date | None:
    """The day of a listing's text, None for what is none."""
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
