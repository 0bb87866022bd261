"""The operators' side of the catalog: models and prices come from listings; people decide what a listing left unclear."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import (
    EMPTY,
    Operation,
    OperationForm,
    ReadOnlyAdmin,
    ReadOnlyInline,
    ReasonForm,
    RowSelect,
    ServiceAddAdmin,
    json_text,
    kst_text,
    list_url,
    plain_decimal,
)
from catalog.models import CatalogSync, Model, ModelAlias, Price, Provider, RouterTarget
from catalog.money import exact_product, parse_decimal
from catalog.pricing import PRICE_KEYS, REQUIRED_KEYS
from catalog.services import add_alias, resolve_quarantined_price

#: Keys that operators meet every day come first; the rest follows by name.
_COMMON = (
    *REQUIRED_KEYS,
    "input_cache_read",
    "input_cache_write",
    "internal_reasoning",
    "request",
    "image",
    "web_search",
)
ENTERED_KEYS = (*_COMMON, *sorted(PRICE_KEYS - {*_COMMON, "discount"}))


def _per_million(key: str, label: Any) -> Any:
    """A column: USD per million tokens of one price component."""

    @admin.display(description=label)
    def shown(price: Price) -> str:
        text = price.components.get(key)
        return EMPTY if text is None else plain_decimal(exact_product(Decimal(text), 1_000_000))

    shown.__name__ = f"{key}_per_million_usd"
    return shown


PROMPT_PER_MILLION = _per_million("prompt", gettext_lazy("input, USD per million tokens"))
COMPLETION_PER_MILLION = _per_million("completion", gettext_lazy("output, USD per million tokens"))


class PriceForm(ReasonForm):
    """One box a price component, filled with what the listing said where that is a plain decimal."""

    def __init__(self, *args: Any, row: Price | None = None, **options: Any) -> None:
        super().__init__(*args, row=row, **options)
        listed: Mapping[str, Any] = {}
        if row is not None and isinstance(row.listed_pricing, dict):  # a listing may have no price object at all
            listed = row.listed_pricing
        reason = self.fields.pop("reason")
        for key in ENTERED_KEYS:
            self.fields[key] = forms.CharField(
                label=key,
                required=key in REQUIRED_KEYS,
                initial=_plain(listed.get(key)),
                help_text=_("USD per token or unit") if key in REQUIRED_KEYS else "",
            )
        self.fields["overrides"] = forms.JSONField(
            label=_("overrides"),
            required=False,
            initial=listed.get("overrides", []),
            help_text=_("A list as in the listing, with prices as text; empty: none."),
        )
        self.fields["reason"] = reason

    def clean_overrides(self) -> list[Mapping[str, Any]]:
        entered = self.cleaned_data["overrides"]
        overrides = [] if entered is None else entered
        if not (isinstance(overrides, list) and all(isinstance(one, dict) for one in overrides)):
            raise forms.ValidationError(_("This must be a list of objects."))
        return overrides

    def evidence(self) -> list[tuple[str, str]]:
        if self.row is None:
            return []
        return [
            (_("quarantine reason"), self.row.quarantine_reason),
            (_("listed pricing"), json_text(self.row.listed_pricing)),
        ]


def _plain(listed: Any) -> str:
    try:
        return listed if parse_decimal(listed, field="price") is not None else ""
    except (ValueError, TypeError):
        return ""


def _resolve(price: Price, answers: dict[str, Any], actor: str) -> str:
    resolve_quarantined_price(
        price=price,
        components={key: answers[key] for key in ENTERED_KEYS if answers.get(key)},
        overrides=answers["overrides"],
        actor=actor,
        reason=answers["reason"],
    )
    return _("The price of %(model)s is decided. Its quarantined events can be priced now.") % {"model": price.model}


class PriceInline(ReadOnlyInline):
    model = Price
    fields = ("effective_from", "effective_to", "kind", PROMPT_PER_MILLION, COMPLETION_PER_MILLION, "source")
    ordering = ("-effective_from",)
    show_change_link = True


class AliasInline(ReadOnlyInline):
    model = ModelAlias
    fields = ("alias", "created_at", "created_by")


class TargetInline(ReadOnlyInline):
    """What a router may pass a request to; a model that is none has none."""

    model = RouterTarget
    fk_name = "router"
    fields = ("position", "target")

    def get_queryset(self, request: HttpRequest) -> QuerySet[RouterTarget]:
        return super().get_queryset(request).select_related("target", "router")


@admin.register(Provider)
class ProviderAdmin(ReadOnlyAdmin):
    list_display = ("slug", "name", "model_count")
    search_fields = ("slug", "name")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Provider]:
        on_sale = Count("models", filter=Q(models__status=Model.Status.ACTIVE))
        rows: QuerySet[Provider] = super().get_queryset(request).annotate(on_sale=on_sale)
        return rows

    def links(self, row: Provider) -> list[tuple[str, str]]:
        return [(_("Models"), list_url(Model, provider__id__exact=row.pk))]

    @admin.display(description=gettext_lazy("models on sale"), ordering="on_sale")
    def model_count(self, row: Provider) -> int:
        return row.on_sale  # type: ignore[attr-defined,no-any-return]


@admin.register(Model)
class ModelAdmin(ReadOnlyAdmin):
    list_display = ("model_id", "name", "provider", "status", "context_length", "listed_at", "retired_at")
    list_filter = ("status", ("provider", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("provider",)
    search_fields = ("model_id", "canonical_slug", "name", "aliases__alias")
    ordering = ("model_id",)
    inlines = (PriceInline, AliasInline, TargetInline)

    def links(self, row: Model) -> list[tuple[str, str]]:
        return [(_("Prices"), list_url(Price, model__id__exact=row.pk))]


@admin.register(Price)
class PriceAdmin(ReadOnlyAdmin):
    list_display = (
        "model", "kind", "effective_from", "effective_to", PROMPT_PER_MILLION, COMPLETION_PER_MILLION,
        "quarantine_code", "source",
    )  # fmt: skip
    list_filter = ("kind", ("effective_to", admin.EmptyFieldListFilter), "quarantine_code")
    list_select_related = ("model",)
    search_fields = ("model__model_id", "model__canonical_slug", "quarantine_reason")
    ordering = ("-effective_from", "model__model_id")
    operations = (
        Operation(
            name="resolve",
            label=gettext_lazy("Decide the price"),
            note=gettext_lazy(
                "Nothing was charged at this price yet. What you enter holds for the whole interval, for events that wait "
                "and events to come, and is never changed again."
            ),
            form=PriceForm,
            applies=lambda price: price.kind == Price.Kind.QUARANTINED,
            run=_resolve,
        ),
    )

    def described(self, row: Price) -> str:
        return f"{row.model}, {row.get_kind_display()}, {kst_text(row.effective_from)} KST"

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """A model's page links to its prices."""
        return lookup == "model__id__exact" or super().lookup_allowed(lookup, value, request)


class AliasForm(OperationForm):
    alias = forms.CharField(label=gettext_lazy("alias"), max_length=200, strip=False)
    model = forms.ModelChoiceField(
        label=gettext_lazy("model"),
        queryset=Model.objects.all(),
        widget=RowSelect(ModelAlias, "model"),
    )


@admin.register(ModelAlias)
class ModelAliasAdmin(ServiceAddAdmin):
    add_form = AliasForm
    add_note = gettext_lazy("Events that name the alias are priced as this model from now on; an alias is never moved.")
    list_display = ("alias", "model", "created_at", "created_by")
    list_select_related = ("model",)
    search_fields = ("alias", "model__model_id")

    def add_row(self, answers: dict[str, Any], actor: str) -> ModelAlias:
        return add_alias(alias=answers["alias"], model=answers["model"], actor=actor)


@admin.register(CatalogSync)
class CatalogSyncAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "effective_at", "source", "listed", "created", "price_changes", "retired", "actor")
    search_fields = ("source", "actor", "listing_sha256")

    @admin.display(description=gettext_lazy("models listed"))
    def listed(self, row: CatalogSync) -> Any:
        return row.counts.get("listed", EMPTY)

    @admin.display(description=gettext_lazy("new"))
    def created(self, row: CatalogSync) -> Any:
        return row.counts.get("created", EMPTY)

    @admin.display(description=gettext_lazy("prices changed"))
    def price_changes(self, row: CatalogSync) -> Any:
        return row.counts.get("price_changes", EMPTY)

    @admin.display(description=gettext_lazy("retired"))
    def retired(self, row: CatalogSync) -> Any:
        return row.counts.get("retired", EMPTY)
