"""Upstreams and our keys at them. A key is written and never read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import Operation, OperationForm, ReadOnlyAdmin, ReasonForm, ServiceAddAdmin, list_url
from gateway.models import CallAttempt, Upstream, UpstreamKey
from gateway.services.upstreams import Timeouts, enable_upstream_key, set_upstream, set_upstream_key

#: What an upstream's health is counted over.
_LATELY = timedelta(minutes=10)


class UpstreamForm(OperationForm):
    """Everything about an upstream but its keys."""

    name = forms.SlugField(label=gettext_lazy("name"), max_length=60)
    base_url = forms.CharField(
        label=gettext_lazy("base URL"),
        max_length=300,
        help_text=gettext_lazy("What /chat/completions is appended to, e.g. https://openrouter.ai/api/v1"),
    )
    dialect = forms.ChoiceField(label=gettext_lazy("dialect"), choices=Upstream.Dialect.choices)
    priority = forms.IntegerField(label=gettext_lazy("priority"), min_value=0, max_value=32_000, initial=100)
    is_enabled = forms.BooleanField(label=gettext_lazy("enabled"), required=False, initial=True)
    connect = forms.IntegerField(label=gettext_lazy("connect timeout (s)"), min_value=1, max_value=600, initial=5)
    first_byte = forms.IntegerField(
        label=gettext_lazy("first byte timeout (s)"), min_value=1, max_value=3600, initial=120
    )
    idle = forms.IntegerField(label=gettext_lazy("idle timeout (s)"), min_value=1, max_value=3600, initial=60)


class ChangeForm(UpstreamForm, ReasonForm):
    """The same for one that is there; its name stays."""

    def __init__(self, *args: Any, row: Any = None, **options: Any) -> None:
        super().__init__(*args, row=row, **options)
        del self.fields["name"]
        self.order_fields([*(name for name in self.fields if name != "reason"), "reason"])
        if row is not None:
            self.initial.update(
                {
                    "base_url": row.base_url,
                    "dialect": row.dialect,
                    "priority": row.priority,
                    "is_enabled": row.is_enabled,
                    "connect": row.connect_timeout_seconds,
                    "first_byte": row.first_byte_timeout_seconds,
                    "idle": row.idle_timeout_seconds,
                }
            )


class KeyForm(ReasonForm):
    """A key to store."""

    name = forms.CharField(label=gettext_lazy("name"), max_length=60, initial="default")
    secret = forms.CharField(
        label=gettext_lazy("key"),
        max_length=500,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text=gettext_lazy("Stored encrypted and never shown again. The same name takes the place of the old key."),
    )
    priority = forms.IntegerField(label=gettext_lazy("priority"), min_value=0, max_value=32_000, initial=100)

    def __init__(self, *args: Any, row: Any = None, **options: Any) -> None:
        super().__init__(*args, row=row, **options)
        self.order_fields(["name", "secret", "priority", "reason"])


def _set(name: str, answers: dict[str, Any], actor: str) -> Upstream:
    return set_upstream(
        name=name,
        base_url=answers["base_url"],
        dialect=answers["dialect"],
        priority=answers["priority"],
        is_enabled=answers["is_enabled"],
        timeouts=Timeouts(answers["connect"], answers["first_byte"], answers["idle"]),
        allow_loopback=settings.DEBUG,
        reason=answers.get("reason", ""),
        actor=actor,
        now=timezone.now(),
    )


def _change(upstream: Upstream, answers: dict[str, Any], actor: str) -> str:
    _set(upstream.name, answers, actor)
    return _("Changed: gateways know within seconds.")


def _store_key(upstream: Upstream, answers: dict[str, Any], actor: str) -> str:
    key = set_upstream_key(
        upstream=upstream,
        name=answers["name"],
        secret=answers["secret"],
        priority=answers["priority"],
        reason=answers["reason"],
        actor=actor,
        now=timezone.now(),
    )
    return _("Stored: %(key)s") % {"key": key}


@admin.register(Upstream)
class UpstreamAdmin(ServiceAddAdmin):
    add_form = UpstreamForm
    list_display = ("name", "base_url", "dialect", "priority", "is_enabled", "tried", "failed")
    list_filter = ("is_enabled", "dialect")
    search_fields = ("name", "base_url")
    operations = (
        Operation(
            name="set",
            label=gettext_lazy("Change"),
            note=gettext_lazy("Calls under way go on as they began."),
            form=ChangeForm,
            run=_change,
        ),
        Operation(
            name="key",
            label=gettext_lazy("Store a key"),
            note=gettext_lazy("A key of ours at this upstream."),
            form=KeyForm,
            run=_store_key,
        ),
    )

    def add_row(self, answers: dict[str, Any], actor: str) -> Upstream:
        return _set(answers["name"], answers, actor)

    def links(self, row: Upstream) -> list[tuple[str, str]]:
        return [(_("Keys"), list_url(UpstreamKey, upstream__id__exact=row.pk))]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        lately = CallAttempt.objects.filter(
            upstream=OuterRef("pk"), call__started_at__gte=timezone.now() - _LATELY
        ).order_by()
        failed = lately.filter(Q(status__isnull=True) | Q(status__gte=400))
        rows: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .annotate(
                tried=Subquery(lately.values("upstream").annotate(count=Count("pk")).values("count")),
                failed=Subquery(failed.values("upstream").annotate(count=Count("pk")).values("count")),
            )
        )
        return rows

    @admin.display(description=gettext_lazy("attempts in ten minutes"))
    def tried(self, upstream: Any) -> str:
        return f"{upstream.tried or 0:,}"

    @admin.display(description=gettext_lazy("of them failed"))
    def failed(self, upstream: Any) -> str:
        return f"{upstream.failed or 0:,}"


def _enable(key: UpstreamKey, answers: dict[str, Any], actor: str) -> str:
    enable_upstream_key(key=key, is_enabled=True, reason=answers["reason"], actor=actor)
    return _("In use again: %(key)s") % {"key": key}


def _disable(key: UpstreamKey, answers: dict[str, Any], actor: str) -> str:
    enable_upstream_key(key=key, is_enabled=False, reason=answers["reason"], actor=actor)
    return _("Not used any more: %(key)s") % {"key": key}


@admin.register(UpstreamKey)
class UpstreamKeyAdmin(ReadOnlyAdmin):
    list_display = ("upstream", "name", "last4", "priority", "is_enabled", "created_at", "created_by")
    list_filter = ("upstream", "is_enabled")
    list_select_related = ("upstream",)
    exclude = ("secret",)
    operations = (
        Operation(
            name="disable",
            label=gettext_lazy("Use no longer"),
            note=gettext_lazy("Gateways stop using it within seconds; calls under way go on."),
            applies=lambda key: key.is_enabled,
            is_bulk=True,
            run=_disable,
        ),
        Operation(
            name="enable",
            label=gettext_lazy("Use again"),
            note=gettext_lazy("Gateways use it again within seconds."),
            applies=lambda key: not key.is_enabled,
            is_bulk=True,
            run=_enable,
        ),
    )
