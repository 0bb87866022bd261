"""API keys: made here, shown once, revoked with a reason."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin.filters import CustomerFilter
from accounts.admin.inputs import RowSelect
from accounts.admin.operating import Operation, OperationForm, ReasonForm, ServiceAddAdmin
from accounts.admin.reading import list_url
from accounts.models import ApiKey, Customer
from accounts.services import IssuedKey, create_api_key, revoke_api_key, set_key_limits

_USED_FORMS = "admin_used_key_forms"
_REMEMBERED_FORMS = 20


class NewKeyForm(OperationForm):
    """For whom, under which name, until when. `form_id` tells a form that is sent a second time from a new one."""

    scope = forms.ChoiceField(label=gettext_lazy("scope"), choices=ApiKey.Scope.choices)
    customer = forms.ModelChoiceField(
        label=gettext_lazy("customer"),
        queryset=Customer.objects.all(),
        required=False,
        help_text=gettext_lazy("An ingest key belongs to no customer and may post events of every customer."),
        widget=RowSelect(ApiKey, "customer"),
    )
    name = forms.CharField(label=gettext_lazy("name"), max_length=100)
    expires_at = forms.DateTimeField(
        label=gettext_lazy("expires"),
        required=False,
        help_text=gettext_lazy("Korean time; empty: never."),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    form_id = forms.CharField(required=False, max_length=32, widget=forms.HiddenInput)

    def clean_expires_at(self) -> datetime | None:
        expires_at: datetime | None = self.cleaned_data["expires_at"]
        if expires_at is not None and expires_at <= timezone.now():
            raise forms.ValidationError(_("A key can't expire in the past."))
        return expires_at

    def clean(self) -> dict[str, Any]:
        answers = super().clean() or {}
        is_customers = answers.get("scope") == ApiKey.Scope.CUSTOMER
        if is_customers and not answers.get("customer") and "customer" not in self.errors:
            self.add_error("customer", _("Choose the customer that this key meters."))
        if not is_customers and answers.get("customer"):
            self.add_error("customer", _("An ingest key belongs to no customer."))
        return answers


class LimitsForm(ReasonForm):
    """All limits of a key; what is left empty is not limited."""

    rpm = forms.IntegerField(label=gettext_lazy("requests per minute"), required=False, min_value=0)
    tpm = forms.IntegerField(label=gettext_lazy("tokens per minute"), required=False, min_value=0)
    concurrency = forms.IntegerField(label=gettext_lazy("calls at a time"), required=False, min_value=0)
    monthly_usd = forms.DecimalField(
        label=gettext_lazy("USD per month"),
        required=False,
        min_value=0,
        max_digits=20,
        decimal_places=6,
        help_text=gettext_lazy("At list price, in a Korean month."),
    )
    allowed_ips = forms.CharField(
        label=gettext_lazy("networks"),
        required=False,
        max_length=2000,
        help_text=gettext_lazy("Addresses or networks it may call from, separated by spaces: 203.0.113.0/24"),
    )

    def __init__(self, *args: Any, row: Any = None, **options: Any) -> None:
        super().__init__(*args, row=row, **options)
        self.order_fields(["rpm", "tpm", "concurrency", "monthly_usd", "allowed_ips", "reason"])
        if row is not None:
            self.initial.update(
                {
                    "rpm": row.rpm_limit,
                    "tpm": row.tpm_limit,
                    "concurrency": row.concurrency_limit,
                    "monthly_usd": row.monthly_limit_usd,
                    "allowed_ips": " ".join(row.allowed_ips or []),
                }
            )


def _limit(key: ApiKey, answers: dict[str, Any], actor: str) -> str:
    set_key_limits(
        key=key,
        rpm=answers["rpm"],
        tpm=answers["tpm"],
        concurrency=answers["concurrency"],
        monthly_usd=answers["monthly_usd"],
        allowed_ips=answers["allowed_ips"].replace(",", " ").split() or None,
        reason=answers["reason"],
        actor=actor,
    )
    return _("Limits set: %(key)s") % {"key": key}


def _revoke(key: ApiKey, answers: dict[str, Any], actor: str) -> str:
    revoke_api_key(key=key, actor=actor, now=timezone.now(), reason=answers["reason"])
    return _("Revoked: %(key)s") % {"key": key}


@admin.register(ApiKey)
class ApiKeyAdmin(ServiceAddAdmin):
    add_form = NewKeyForm
    add_note = gettext_lazy("The key is shown once, on the next page, and stored nowhere.")
    list_display = (
        "name",
        "prefix",
        "last4",
        "scope",
        "customer",
        "created_at",
        "expires_at",
        "revoked_at",
        "last_used_at",
    )
    list_filter = (CustomerFilter, "scope", ("revoked_at", admin.EmptyFieldListFilter))
    list_select_related = ("customer",)
    search_fields = ("name", "prefix", "last4", "customer__slug")
    operations = (
        Operation(
            name="revoke",
            label=gettext_lazy("Revoke"),
            note=gettext_lazy("Calls with this key are refused from now on. This can't be undone."),
            form=ReasonForm,
            applies=lambda key: key.revoked_at is None,
            is_bulk=True,
            run=_revoke,
        ),
        Operation(
            name="limit",
            label=gettext_lazy("Set limits"),
            note=gettext_lazy("They hold for the next call. What is left empty is not limited."),
            form=LimitsForm,
            applies=lambda key: key.revoked_at is None and key.scope == ApiKey.Scope.CUSTOMER,
            run=_limit,
        ),
    )

    def add_page(self, request: HttpRequest, form: OperationForm) -> HttpResponse:
        if not form.is_bound:
            form.initial["form_id"] = secrets.token_hex(8)
        return super().add_page(request, form)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Reloading the page with the secret sends its form again; that must not make another key."""
        if request.method == "POST" and request.POST.get("form_id") in request.session.get(_USED_FORMS, []):
            messages.warning(request, _("That key was made already. A secret is shown only once."))
            return HttpResponseRedirect(list_url(ApiKey))
        return super().add_view(request, form_url, extra_context)

    def add_row(self, answers: dict[str, Any], actor: str) -> IssuedKey:
        return create_api_key(
            customer=answers["customer"], name=answers["name"], expires_at=answers["expires_at"], actor=actor
        )

    def added_response(self, request: HttpRequest, row: IssuedKey) -> HttpResponse:
        """The secret, in this very answer and never again. Admin pages are `no-store`, so no cache keeps it."""
        form_id = request.POST.get("form_id", "")
        if form_id:
            used = request.session.get(_USED_FORMS, [])
            request.session[_USED_FORMS] = [*used, form_id][-_REMEMBERED_FORMS:]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("API key created"),
            "key": row.key,
            "secret": row.secret,
        }
        return TemplateResponse(request, "admin/accounts/apikey/created.html", context)
