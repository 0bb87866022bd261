"""Our costs beside the upstream's charges, and the statements they come from.

The pages stand here and not with usage's own because what sold at a loss follows from billing's margins.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import (
    EMPTY,
    DateInput,
    OperationForm,
    ReadOnlyAdmin,
    grouped_integer,
    kst_text,
    list_url,
    plain_decimal,
)
from accounts.errors import DomainError
from accounts.selectors import customer_by_slug
from accounts.spreadsheets import guarded
from billing.selectors.reconciliation import ReconciliationReport, ReportRow, reconciliation_report
from usage.admin.reading import BoundedPaginator
from usage.models import ActivityEstimate, UpstreamCharge, UpstreamDay, UpstreamStatement
from usage.periods import KST
from usage.selectors.reconciliation import FIGURES, Finding, ModelReconciliation

#: Days that are shown at once.
MOST_DAYS = 92
_DEFAULT_DAYS = timedelta(days=6)

COLUMNS = {
    "events": gettext_lazy("requests"),
    "matched": gettext_lazy("matched"),
    "drifted": gettext_lazy("drifted"),
    "drift_usd": gettext_lazy("drift (USD)"),
    "cost_usd": gettext_lazy("our cost (USD)"),
    "charged_usd": gettext_lazy("charged (USD)"),
    "missing_here": gettext_lazy("missing here"),
    "missing_here_usd": gettext_lazy("missing here (USD)"),
    "missing_there": gettext_lazy("missing there"),
    "restated": gettext_lazy("restated"),
    "uncharged": gettext_lazy("no charge known"),
    "unpriced": gettext_lazy("no price yet"),
    "estimated": gettext_lazy("estimated"),
}
KINDS = {
    "drift": gettext_lazy("drift"),
    "missing_here": gettext_lazy("missing here"),
    "missing_there": gettext_lazy("missing there"),
}
#: Columns that are shown even where nothing stands in them.
_ALWAYS = frozenset({"events", "matched", "drifted", "drift_usd", "cost_usd", "charged_usd"})
#: Figures that are bad news when they are not zero.
_BAD = frozenset({"drifted", "drift_usd", "missing_here", "missing_here_usd", "missing_there", "restated"})


class ReportForm(OperationForm):
    """Which days, whose, which models, and whether only what does not agree."""

    first = forms.DateField(label=gettext_lazy("from"), widget=DateInput())
    last = forms.DateField(label=gettext_lazy("to"), widget=DateInput())
    customer = forms.CharField(label=gettext_lazy("customer"), max_length=200, required=False)
    model = forms.CharField(label=gettext_lazy("model"), max_length=200, required=False)
    only_differences = forms.BooleanField(label=gettext_lazy("only what does not agree"), required=False)

    def clean(self) -> dict[str, Any]:
        answers = super().clean() or {}
        first, last = answers.get("first"), answers.get("last")
        if first and last and not 0 <= (last - first).days < MOST_DAYS:
            raise forms.ValidationError(_("Choose 1 to %(count)d days.") % {"count": MOST_DAYS})
        return answers


@admin.register(UpstreamStatement)
class UpstreamStatementAdmin(ReadOnlyAdmin):
    list_display = ("imported_at", "source", "kind", "first_at", "last_at", "rows", "imported_by")
    list_filter = ("kind",)
    search_fields = ("source",)
    fields = ("source", "kind", "first_at", "last_at", "rows", "imported_at", "imported_by")

    def get_urls(self) -> list[URLPattern]:
        report = path(
            "reconciliation/",
            self.admin_site.admin_view(self.report_view),
            name="usage_upstreamstatement_reconciliation",
        )
        return [report, *super().get_urls()]

    def list_links(self, request: HttpRequest) -> list[tuple[str, str]]:
        return [
            (_("Reconciliation"), reverse("admin:usage_upstreamstatement_reconciliation")),
            (_("Charges by generation"), list_url(UpstreamCharge)),
            (_("Charges by UTC day"), list_url(UpstreamDay)),
        ]

    def links(self, row: UpstreamStatement) -> list[tuple[str, str]]:
        rows = UpstreamDay if row.kind == UpstreamStatement.Kind.DAYS else UpstreamCharge
        first, last = (at.astimezone(KST).date() for at in (row.first_at, row.last_at))
        return [
            (_("Reconciliation"), report_url(first, min(last, first + timedelta(days=MOST_DAYS - 1)))),
            (_("Rows"), list_url(rows, statement__id__exact=row.pk)),
        ]

    def report_view(self, request: HttpRequest) -> HttpResponse:
        """The report as a page or, with `format=csv`, as a file."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        today = timezone.now().astimezone(KST).date()
        initial = {"first": today - _DEFAULT_DAYS, "last": today}
        form = ReportForm(request.GET if "first" in request.GET else initial)
        report = None
        if form.is_valid():
            answers = form.cleaned_data
            try:
                customer = customer_by_slug(answers["customer"]) if answers["customer"] else None
                report = reconciliation_report(answers["first"], answers["last"], customer=customer)
            except DomainError as refusal:
                form.refuse(refusal)
        if report is not None and request.GET.get("format") == "csv":
            return _csv(report, _chosen(report, form))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Reconciliation"),
            "form": form,
            "report": report,
            **(_shown(report, form) if report is not None else {}),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/billing/reconciliation/report.html", context)


@admin.register(UpstreamCharge)
class UpstreamChargeAdmin(ReadOnlyAdmin):
    list_display = (
        "charged_at",
        "upstream_id",
        "model_name",
        "prompt_tokens",
        "completion_tokens",
        "cost_usd",
        "statement",
    )
    list_select_related = ("statement",)
    ordering = ("-charged_at",)
    sortable_by = ()
    search_fields = ("=upstream_id",)
    paginator = BoundedPaginator
    show_full_result_count = False
    fields = ("statement", "upstream_id", "charged_at", "model_name", "prompt_tokens", "completion_tokens", "cost_usd")


@admin.register(UpstreamDay)
class UpstreamDayAdmin(ReadOnlyAdmin):
    list_display = (
        "day", "permaslug", "provider_name", "requests", "prompt_tokens", "completion_tokens", "charged_usd", "statement",
    )  # fmt: skip
    list_select_related = ("statement",)
    ordering = ("-day", "permaslug", "pk")
    search_fields = ("permaslug", "model_name")
    paginator = BoundedPaginator
    show_full_result_count = False


def report_url(first: date, last: date) -> str:
    """The address of the report for these Korean days."""
    address = reverse("admin:usage_upstreamstatement_reconciliation")
    return f"{address}?{urlencode({'first': first.isoformat(), 'last': last.isoformat()})}"


def _chosen(report: ReconciliationReport, form: ReportForm) -> list[ReportRow]:
    name, only_differences = form.cleaned_data["model"].strip(), form.cleaned_data["only_differences"]
    rows = [row for row in report.rows if name in row.figures.model_id]
    return [row for row in rows if not row.is_clean] if only_differences else rows


def _shown(report: ReconciliationReport, form: ReportForm) -> dict[str, Any]:
    rows = _chosen(report, form)
    total = ModelReconciliation(day=report.first, model_id="")
    for row in rows:
        total.add(row.figures)
    columns = [name for name in COLUMNS if name in _ALWAYS or any(getattr(row.figures, name) for row in rows)]
    asked = {name: value for name, value in form.data.items() if value not in ("", None, False)}
    asked |= {name: form.cleaned_data[name].isoformat() for name in ("first", "last")}
    return {
        "columns": [(name, COLUMNS[name]) for name in columns],
        "rows": [(row, _cells(row.figures, columns)) for row in rows],
        "total": _cells(total, columns),
        "losses": sum(row.loss_usd is not None for row in rows),
        "findings": [_finding(one) for one in report.findings if form.cleaned_data["model"].strip() in one.model_id],
        "overlapping": [(one, list_url(ActivityEstimate, customer=one.customer.slug)) for one in report.overlapping],
        "csv_query": urlencode({**asked, "format": "csv"}),
    }


def _cells(figures: ModelReconciliation, columns: Sequence[str]) -> list[tuple[str, bool]]:
    """(text, whether it is bad news) by column; nothing for zero."""
    values = [(name, getattr(figures, name)) for name in columns]
    return [
        ((plain_decimal(value) if name.endswith("_usd") else grouped_integer(value)) if value else "", name in _BAD)
        for name, value in values
    ]


def _finding(one: Finding) -> dict[str, Any]:
    amounts = {"cost": one.cost_usd, "charged": one.charged_usd, "drift": one.drift_usd}
    return {
        "kind": KINDS[one.kind],
        "id": one.generation_id,
        "customer": one.customer or EMPTY,
        "at": kst_text(one.at),
        "model": one.model_id,
        **{name: EMPTY if value is None else plain_decimal(value) for name, value in amounts.items()},
    }


def _csv(report: ReconciliationReport, rows: list[ReportRow]) -> HttpResponse:
    """Every figure of the chosen rows, with the names of the API in the heading."""
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    name = f"reconciliation-{report.first}-{report.last}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response.write("\ufeff")
    writer = csv.writer(response)
    writer.writerow(["day", "model", *FIGURES, "negative_margin"])
    for row in rows:
        shown = row.as_dict()
        cells = [shown["day"], guarded(shown["model"]), *(shown[name] for name in FIGURES)]
        writer.writerow([*cells, "yes" if shown["negative_margin"] else ""])
    return response
