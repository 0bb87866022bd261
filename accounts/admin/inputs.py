"""Inputs of the operators' forms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.db.models import ForeignKey, Model
from django.http import HttpRequest


class DateInput(forms.DateInput):
    """The browser's own calendar."""

    input_type = "date"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%d")


class RowSelect(AutocompleteSelect):
    """The row that a foreign key of `model` may name, found while typing."""

    def __init__(self, model: type[Model], name: str) -> None:
        super().__init__(model._meta.get_field(name), admin.site)

    def optgroups(self, name: str, value: Sequence[str], attrs: dict[str, Any] | None = None) -> Any:
        # A refused form is shown again with what was sent: the database can't be asked for a row whose key is no number.
        return super().optgroups(
            name, [key for key in value if key.isascii() and key.isdecimal() and len(key) < 19], attrs
        )


class RowsSelected:
    """For an admin of a model's own form: its `autocomplete_fields` are each a `RowSelect`."""

    def formfield_for_foreignkey(self, db_field: ForeignKey[Any, Any], request: HttpRequest, **options: Any) -> Any:
        widget = RowSelect(db_field.model, db_field.name)
        return super().formfield_for_foreignkey(db_field, request, widget=widget, **options)  # type: ignore[misc]
