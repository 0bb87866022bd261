"""Months in files. They are archived and brought back at the server, where the files are."""

from __future__ import annotations

from django.contrib import admin

from accounts.admin import MonthFilter, ReadOnlyAdmin
from usage.models import UsageArchive


@admin.register(UsageArchive)
class UsageArchiveAdmin(ReadOnlyAdmin):
    list_display = ("month", "status", "events", "directory", "archived_at", "restored_at", "actor")
    list_filter = (MonthFilter, "status")
    fields = (
        "month", "status", "events", "directory", "manifest_sha256", "started_at", "archived_at", "restored_at", "actor",
    )  # fmt: skip
