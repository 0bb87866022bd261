"""모델·요금: the list of what is sold, open to everybody. Its whole state stands in the address."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from portal.selectors.storefront import models_on_shelf, providers_on_shelf, shelf_items
from portal.views.storefront_forms import ShelfForm

PAGE_SIZE = 50

_PAGE = re.compile(r"[1-9][0-9]{0,5}")
_FILTERS = ("input", "output", "feature")


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter in force, in words, and the address of the list without it."""

    text: str
    url: str


@require_safe
def models_page(request: HttpRequest) -> HttpResponse:
    """The models on sale that match. 400 names the field that can't be meant; 404 is a page after the last."""
    form = ShelfForm(request.GET, providers=providers_on_shelf())
    if not form.is_valid():
        return render(request, "portal/storefront/models.html", {"form": form, "section": "models"}, status=400)
    models = models_on_shelf(form.query(), at=timezone.now())
    total = models.count()
    pages = max(1, -(-total // PAGE_SIZE))
    asked = request.GET.get("page", "1")
    page = int(asked) if _PAGE.fullmatch(asked) else None
    context: dict[str, Any] = {
        "section": "models",
        "form": form,
        "total": total,
        "pages": pages,
        "chips": _chips(form),
        "first_url": _address(form),
        "all_url": reverse("portal:models"),
    }
    if page is None or page > pages:
        return render(request, "portal/storefront/models.html", {**context, "is_beyond": True}, status=404)
    start = (page - 1) * PAGE_SIZE
    context |= {
        "page": page,
        "items": shelf_items(models[start : start + PAGE_SIZE]),
        "page_urls": [(number, _address(form, page=number)) for number in range(1, pages + 1)],
        "previous_url": _address(form, page=page - 1) if page > 1 else "",
        "next_url": _address(form, page=page + 1) if page < pages else "",
    }
    return render(request, "portal/storefront/models.html", context)


def _address(form: ShelfForm, *, page: int = 1, without: tuple[str, str] | None = None) -> str:
    """The list with these filters (less one of them), on a page."""
    asked = form.cleaned_data
    params = QueryDict(mutable=True)
    for name in ("q", *_FILTERS, "provider", "sort"):
        values = asked[name] if name in _FILTERS else [asked[name]]
        params.setlist(name, [value for value in values if value and (name, value) != without])
    if params.get("sort") == "newest":
        params.setlist("sort", [])
    if page > 1:
        params["page"] = str(page)
    query = params.urlencode()
    return reverse("portal:models") + (f"?{query}" if query else "")


def _chips(form: ShelfForm) -> list[Chip]:
    """What the list is narrowed by."""
    asked = form.cleaned_data
    chips = [Chip(f"“{asked['q']}”", _address(form, without=("q", asked["q"])))] if asked["q"] else []
    for name in (*_FILTERS, "provider"):
        field = form.fields[name]
        words = dict(getattr(field, "choices", ()))
        values = asked[name] if name in _FILTERS else [asked[name]]
        for value in filter(None, values):
            label = str(words[value]) if name in {"feature", "provider"} else f"{field.label}: {words[value]}"
            chips.append(Chip(label, _address(form, without=(name, value))))
    return chips
