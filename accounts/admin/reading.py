"""How every operators' page shows a row: numbers, times and JSON as text, and nothing to edit unless somebody decides so.

Formats follow the field: won and counts with separators, `*_usd` as the plain decimal it is stored as, or to
the cent where it is kept so, months as `2026-10`, instants in KST. No value is ever rounded for display.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

    #: A text, translated or still to be.
    Text = str | _StrPromise

EMPTY = "-"
Writer = Callable[[Any], str]

#: Columns that their models leave without a name of their own, in words.
_LABELS = {
    "api_key_id": gettext_lazy("API key no."),
    "app_id": gettext_lazy("app no."),
    "audio_input_tokens": gettext_lazy("audio input tokens"),
    "audio_output_tokens": gettext_lazy("audio output tokens"),
    "cache_read_tokens": gettext_lazy("cache read tokens"),
    "cache_write_1h_tokens": gettext_lazy("cache write tokens (1 hour)"),
    "cache_write_tokens": gettext_lazy("cache write tokens"),
    "completion_tokens": gettext_lazy("completion tokens"),
    "cost_usd": gettext_lazy("cost (USD)"),
    "held_usd": gettext_lazy("held (USD)"),
    "image_output_tokens": gettext_lazy("image output tokens"),
    "is_metered": gettext_lazy("counts towards its key's limits"),
    "images": gettext_lazy("images"),
    "minute_at": gettext_lazy("minute"),
    "model_id": gettext_lazy("model no."),
    "month": gettext_lazy("month"),
    "open_calls": gettext_lazy("calls under way"),
    "price_id": gettext_lazy("price no."),
    "prompt_tokens": gettext_lazy("prompt tokens"),
    "reasoning_tokens": gettext_lazy("reasoning tokens"),
    "requests": gettext_lazy("requests"),
    "spent_usd": gettext_lazy("spent (USD)"),
    "tokens": gettext_lazy("tokens"),
    "upstream_cost_usd": gettext_lazy("upstream cost (USD)"),
    "web_searches": gettext_lazy("web searches"),
}


def plain_decimal(value: Decimal) -> str:
    """Every digit and no trailing zeros: 0.0096000 -> "0.0096"."""
    return _without_zeros(format(value, "f"))


def grouped_decimal(value: Decimal) -> str:
    """The same with separators: 1443.2000 -> "1,443.2"."""
    return _without_zeros(format(value, ",f"))


def dollars_and_cents(value: Decimal) -> str:
    """An amount that is kept to the cent: 1811.3 -> "1,811.30"."""
    return f"{value:,.2f}"


def grouped_integer(value: int) -> str:
    """1811764 -> "1,811,764"."""
    return f"{value:,}"


def kst_text(instant: datetime) -> str:
    """An instant as Korean wall time to the second."""
    return timezone.localtime(instant).strftime("%Y-%m-%d %H:%M:%S")


def json_text(value: Any) -> str:
    """Indented JSON in a block that keeps its line breaks."""
    return format_html('<pre class="json">{}</pre>', json.dumps(value, ensure_ascii=False, indent=2))


def change_link(model: type[models.Model], pk: Any, text: str) -> str:
    """A link to the page of a row that no foreign key leads to."""
    meta = model._meta
    return format_html(
        '<a href="{}">{}</a>', reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[pk]), text
    )


def list_url(model: type[models.Model], **filters: Any) -> str:
    """The address of a model's list, filtered."""
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return f"{address}?{urlencode(filters)}" if filters else address


@cache
def figure(model: type[models.Model], name: str) -> str | Callable[[Any], str]:
    """A column that writes this field in our format; the name itself where Django's own display is right.

    Cached, because Django compares columns by identity.
    """
    try:
        field: Any = model._meta.get_field(name)
    except FieldDoesNotExist:
        return name
    if isinstance(field, models.GeneratedField):
        field = field.output_field  # which has the name and the format
    label = _label(name, field)
    is_boolean = isinstance(field, models.BooleanField)
    write: Callable[[Any], Any] | None = _writer(name, field)
    if write is None and label is not None:
        write = bool if is_boolean else str
    if write is None:
        return name

    @admin.display(description=label or getattr(field, "verbose_name", name), ordering=name, boolean=is_boolean)
    def shown(row: Any) -> Any:
        value = getattr(row, name)
        return EMPTY if value is None else write(value)

    shown.__name__ = name
    return shown


def _label(name: str, field: Any) -> Text | None:
    """What stands over a column whose model gives it no name; None for one that has its own."""
    has_name = getattr(field, "verbose_name", "") != name.replace("_", " ")
    return None if has_name else _LABELS.get(name)


def _writer(name: str, field: Any) -> Writer | None:
    if getattr(field, "choices", None) or field.is_relation:
        return None
    if isinstance(field, models.DecimalField):
        if not name.endswith("_usd"):
            return grouped_decimal
        return dollars_and_cents if field.decimal_places == 2 else plain_decimal
    if isinstance(field, models.IntegerField) and not (field.primary_key or name.endswith("_id")):
        return grouped_integer
    if isinstance(field, models.DateTimeField):
        return kst_text
    if isinstance(field, models.DateField):
        return _month_text if name.endswith("month") else date.isoformat
    if isinstance(field, models.JSONField):
        return json_text
    if isinstance(field, ArrayField):
        return lambda values: ", ".join(values) or EMPTY
    return None


def _month_text(first_on: date) -> str:
    return f"{first_on:%Y-%m}"


def _without_zeros(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


class Figures:
    """Mixin: lists and pages write numbers, times and JSON through `figure`."""

    model: type[models.Model]

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return [self.shown(name) for name in super().get_list_display(request)]  # type: ignore[misc]

    def shown(self, name: Any) -> Any:
        return figure(self.model, name) if isinstance(name, str) else name


class ReadOnly(Figures):
    """Mixin for admins and inlines of rows that operators look at: no adding, changing or deleting, superusers included.

    Without `fields` or `fieldsets` it shows every column except binary ones.
    """

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        chosen: Sequence[Any] | None = self.fields  # type: ignore[attr-defined]
        if chosen is not None:
            return list(chosen)
        columns = self.model._meta.concrete_fields
        return [one.name for one in columns if not (one.primary_key or isinstance(one, models.BinaryField))]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        sets = super().get_fieldsets(request, obj)  # type: ignore[misc]
        return [
            (title, {**options, "fields": [self.shown(name) for name in options["fields"]]}) for title, options in sets
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return [name for _, options in self.get_fieldsets(request, obj) for name in options["fields"]]


class ReadOnlyInline(ReadOnly, admin.TabularInline):
    """Rows that belong to the page's row, to look at."""

    extra = 0
    max_num = 0
    can_delete = False
