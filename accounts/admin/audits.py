"""The audit trail."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from accounts.admin.operating import ReadOnlyAdmin
from accounts.models import AuditEntry, SubmittedForm


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("at", "actor", "action", "object_type", "object_id", "reason")
    list_filter = ("action", "object_type")
    search_fields = ("actor", "object_id", "reason")
    date_hierarchy = "at"

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """The page of every row links to the entries about it."""
        return lookup == "object_id" or super().lookup_allowed(lookup, value, request)


@admin.register(SubmittedForm)
class SubmittedFormAdmin(ReadOnlyAdmin):
    list_display = ("at", "actor", "token")
    search_fields = ("actor",)
    ordering = ("-at",)
