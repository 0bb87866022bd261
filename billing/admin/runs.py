"""Closing a month: the figures first, then one run that workers go through customer by customer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Case, Count, IntegerField, Q, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from kombu.exceptions import OperationalError

from accounts.admin import (
    CustomerFilter,
    MonthFilter,
    Operation,
    OperationForm,
    ReadOnlyAdmin,
    ReadOnlyInline,
    ReasonForm,
    actor_of,
    list_url,
)
from accounts.errors import DomainError, NotReady
from accounts.models import Customer
from billing.formatting import rate_text, won
from billing.models import BillingDraft, BillingRun, BillingRunItem, Invoice
from billing.selectors.drafts import Stage, run_status
from billing.selectors.exchange import rate_in_force
from billing.selectors.previews import MonthPreview, month_previews
from billing.services.closing import start_run
from billing.services.run_items import in_batches
from billing.services.steps import approve_run, begin_steps, confirm_rates, request_drafts
from billing.tasks import close_customers, draft_customers
from catalog.money import decimal_text, exact_sum
from usage.periods import KST, BillingMonth
from usage.selectors import customers_with_usage

logger = logging.getLogger(__name__)

#: A run's page shows so many customers, those that need somebody first; the rest is in the list.
SHOWN_ITEMS = 200
RELOAD_SECONDS = "3"

STAGES = {
    Stage.RATES: gettext_lazy("waits for its exchange rate to be confirmed"),
    Stage.DRAFTS: gettext_lazy("waits for its drafts"),
    Stage.APPROVAL: gettext_lazy("waits for a second person's approval"),
    Stage.ISSUE: gettext_lazy("can be issued"),
    Stage.DONE: gettext_lazy("nothing is left to do, or waits for what is parked"),
}
#: In these nobody works until somebody decides, so the page stays as it is.
WAITS_FOR_A_PERSON = frozenset({Stage.RATES, Stage.APPROVAL})

PROBLEMS = {
    "no_seller_profile": gettext_lazy("no seller profile"),
    "no_tax_profile": gettext_lazy("no tax profile"),
    "no_exchange_rate": gettext_lazy("no exchange rate"),
    "no_margin_rule": gettext_lazy("no margin rule"),
    "quarantined_usage": gettext_lazy("events wait for a price"),
    "unfit_for_tax_invoice": gettext_lazy("unfit for a tax invoice"),
    "not_approved": gettext_lazy("not approved"),
    "changed_since_approval": gettext_lazy("changed after the approval"),
    "internal_error": gettext_lazy("internal error"),
}


def problem_text(code: str) -> str:
    """A parking reason's name; the code itself where we have none."""
    return str(PROBLEMS.get(code, code))


@dataclass(frozen=True)
class PreviewRow:
    """One customer's figures before anything is issued; amounts are None while something is missing."""

    customer: Customer
    cost_usd: str
    supply: str
    vat: str
    total: str
    problems: list[tuple[str, str]]


class MonthForm(OperationForm):
    month = forms.CharField(
        label=gettext_lazy("month"), max_length=7, widget=forms.TextInput(attrs={"type": "month", "required": True})
    )

    def clean_month(self) -> BillingMonth:
        try:
            return BillingMonth.parse(self.cleaned_data["month"])
        except ValueError:
            raise forms.ValidationError(_("Enter a month such as 2026-10.")) from None


def enqueue(item_ids: Sequence[int], *, actor: str) -> None:
    """A task for some customers each. A broker that is away loses nothing: the items stay pending and can be enqueued
    again.
    """
    try:
        for batch in in_batches(item_ids):
            close_customers.delay(batch, actor)
    except OperationalError:
        logger.exception("no worker could be told")
        raise NotReady("the broker can't be reached, so no worker was told; start the month again later") from None


def _month_of(run: BillingRun) -> BillingMonth:
    return BillingMonth(run.month.year, run.month.month)


def _confirm_rates(run: BillingRun, answers: dict[str, Any], actor: str) -> str:
    confirm_rates(run=run, actor=actor, reason=answers["reason"], now=timezone.now())
    return _("The exchange rate is confirmed.")


def _draft(run: BillingRun, answers: dict[str, Any], actor: str) -> str:
    begin_steps(month=_month_of(run), actor=actor, now=timezone.now())
    items = request_drafts(run=run, actor=actor, now=timezone.now())
    try:
        for batch in in_batches(items):
            draft_customers.delay(batch)
    except OperationalError:
        logger.exception("no worker could be told")
        raise NotReady("the broker can't be reached, so no worker was told; ask for the drafts again later") from None
    return _("%(count)d customers are being drafted.") % {"count": len(items)}


def _approve(run: BillingRun, answers: dict[str, Any], actor: str) -> str:
    approve_run(run=run, actor=actor, reason=answers["reason"], now=timezone.now())
    return _("The drafts are approved; the month can be issued.")


def _issue(run: BillingRun, answers: dict[str, Any], actor: str) -> str:
    pending = run.items.filter(status=BillingRunItem.Status.PENDING).order_by("customer_id")
    enqueue(list(pending.values_list("pk", flat=True)), actor=actor)
    return _("The invoices are being issued.")


class RatesForm(ReasonForm):
    """Shows the rate that would be confirmed."""

    def evidence(self) -> list[tuple[str, str]]:
        month = _month_of(self.row)
        rate = rate_in_force(on=month.last_on)
        if rate is None:
            return [(_("exchange rate"), _("none was published"))]
        return [(_("exchange rate"), f"{rate_text(rate.rate)} ({rate.source}, {rate.rate_on})")]


class ApprovalForm(ReasonForm):
    """Shows what is approved: the sums, and who is odd."""

    def evidence(self) -> list[tuple[str, str]]:
        status = run_status(self.row)
        odd = BillingDraft.objects.filter(item__run=self.row, item__status=BillingRunItem.Status.PENDING)
        odd = odd.exclude(anomalies=[]).select_related("item__customer").order_by("item__customer__slug")
        labels = dict(BillingDraft.Anomaly.choices)
        return [
            (_("total (KRW)"), won(status.total_krw)),
            *(
                (draft.item.customer.slug, ", ".join(str(labels[each]) for each in draft.anomalies))
                for draft in odd[:SHOWN_ITEMS]
            ),
        ]


STEP_OPERATIONS = (
    Operation(
        name="confirm_rates",
        label=gettext_lazy("Confirm the exchange rate"),
        note=gettext_lazy("The first step: the month is billed at this rate."),
        form=RatesForm,
        applies=lambda run: run.is_stepwise and run_status(run).stage == Stage.RATES,
        run=_confirm_rates,
    ),
    Operation(
        name="draft",
        label=gettext_lazy("Compute the drafts"),
        note=gettext_lazy("Computes every customer's invoice without issuing it; an approval that was given is gone."),
        form=OperationForm,
        applies=lambda run: run.is_stepwise and run_status(run).stage in {Stage.DRAFTS, Stage.APPROVAL, Stage.ISSUE},
        run=_draft,
    ),
    Operation(
        name="approve",
        label=gettext_lazy("Approve the drafts"),
        note=gettext_lazy("Has to be somebody else than who asked for the drafts. Say what was looked at."),
        form=ApprovalForm,
        applies=lambda run: run.is_stepwise and run_status(run).stage == Stage.APPROVAL,
        run=_approve,
    ),
    Operation(
        name="issue",
        label=gettext_lazy("Issue the invoices"),
        note=gettext_lazy(
            "Issues one invoice per customer with its number, ledger entries, tax invoice record and mail. This can't be "
            "undone. A customer whose bill changed after the approval is parked."
        ),
        form=OperationForm,
        applies=lambda run: run_status(run).stage == Stage.ISSUE,
        run=_issue,
    ),
)


@admin.register(BillingRun)
class BillingRunAdmin(ReadOnlyAdmin):
    operations = STEP_OPERATIONS
    list_display = ("month", "started_at", "finished_at", "done", "parked", "pending", "actor")
    list_filter = (MonthFilter,)
    ordering = ("-month",)
    change_form_template = "admin/billing/billingrun/run.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[BillingRun]:
        counts = {
            f"{status}_count": Count("items", filter=Q(items__status=status)) for status in BillingRunItem.Status.values
        }
        rows: QuerySet[BillingRun] = super().get_queryset(request).annotate(**counts)
        return rows

    def get_urls(self) -> list[URLPattern]:
        close = path("close/", self.admin_site.admin_view(self.close_view), name="billing_billingrun_close")
        return [close, *super().get_urls()]

    def list_links(self, request: HttpRequest) -> list[tuple[str, str]]:
        if not self.has_operate_permission(request):
            return []
        return [(_("Close a month"), reverse("admin:billing_billingrun_close"))]

    def links(self, row: BillingRun) -> list[tuple[str, str]]:
        month = f"{row.month:%Y-%m}"
        return [
            (_("Figures and continue"), f"{reverse('admin:billing_billingrun_close')}?month={month}"),
            (_("All customers"), list_url(BillingRunItem, month=month)),
            (_("Invoices"), list_url(Invoice, month=month)),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The run with its customers; the page reloads itself while workers are at it."""
        urgency = Case(
            When(status=BillingRunItem.Status.PARKED, then=Value(0)),
            When(status=BillingRunItem.Status.PENDING, then=Value(1)),
            default=Value(2),
            output_field=IntegerField(),
        )
        items = BillingRunItem.objects.filter(run_id=int(object_id) if object_id.isdecimal() else 0)
        shown = items.select_related("customer", "invoice", "draft").order_by(urgency, "customer__slug")[:SHOWN_ITEMS]
        rows = [{"item": item, "problem": problem_text(item.reason_code), **_amounts(item)} for item in shown]
        counts = items.aggregate(
            total=Count("pk"),
            pending=Count("pk", filter=Q(status=BillingRunItem.Status.PENDING)),
            parked=Count("pk", filter=Q(status=BillingRunItem.Status.PARKED)),
            done=Count("pk", filter=Q(status=BillingRunItem.Status.DONE)),
        )
        run = BillingRun.objects.filter(pk=int(object_id) if object_id.isdecimal() else 0).first()
        status = None if run is None else run_status(run)
        context = {
            "run_rows": rows,
            "run_counts": counts,
            "run_stage": STAGES[status.stage] if status else "",
            **(extra_context or {}),
        }
        response = super().change_view(request, object_id, form_url, context)
        is_waiting = status is not None and run is not None and run.is_stepwise and status.stage in WAITS_FOR_A_PERSON
        if counts["pending"] and not is_waiting:
            response["Refresh"] = RELOAD_SECONDS
        return response

    def close_view(self, request: HttpRequest) -> HttpResponse:
        """GET: the month's figures. POST: begin the run in steps, or take it up again; its page has the next step."""
        if not self.has_operate_permission(request):
            raise PermissionDenied
        asked = request.POST if request.method == "POST" else (request.GET if "month" in request.GET else None)
        last_month = BillingMonth.of(timezone.now()).previous()
        form = MonthForm(asked, initial={"month": str(last_month)})
        month: BillingMonth | None = form.cleaned_data["month"] if form.is_valid() else None
        if month is not None and request.method == "POST":
            try:
                run = begin_steps(month=month, actor=actor_of(request), now=timezone.now())
            except DomainError as refusal:
                form.refuse(refusal)
            else:
                return HttpResponseRedirect(reverse("admin:billing_billingrun_change", args=[run.pk]))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Close a month"),
            "form": form,
            "month": month,
            "run": BillingRun.objects.filter(month=month.first_on).first() if month else None,
            **(preview_context(month) if month else {}),
        }
        return TemplateResponse(request, "admin/billing/billingrun/close.html", context)

    @admin.display(description=gettext_lazy("done"))
    def done(self, row: BillingRun) -> int:
        return row.done_count  # type: ignore[attr-defined,no-any-return]

    @admin.display(description=gettext_lazy("parked"))
    def parked(self, row: BillingRun) -> int:
        return row.parked_count  # type: ignore[attr-defined,no-any-return]

    @admin.display(description=gettext_lazy("pending"))
    def pending(self, row: BillingRun) -> int:
        return row.pending_count  # type: ignore[attr-defined,no-any-return]


def preview_context(month: BillingMonth) -> dict[str, Any]:
    """What is still to be billed for that month, with sums over the customers that can be billed."""
    today = timezone.now().astimezone(KST).date()
    customers = list(customers_with_usage(month))
    previews = list(zip(customers, month_previews(customers, month, on=today), strict=True))
    totals = [preview.bill.totals for _customer, preview in previews if preview.bill]
    return {
        "rows": [_preview_row(customer, preview) for customer, preview in previews],
        "sums": {
            "cost_usd": decimal_text(exact_sum(preview.cost_usd for _customer, preview in previews)),
            "supply": won(sum(one.supply_krw for one in totals)),
            "vat": won(sum(one.vat_krw for one in totals)),
            "total": won(sum(one.total_krw for one in totals)),
        },
        "problem_count": sum(bool(preview.problems) for _customer, preview in previews),
    }


def _preview_row(customer: Customer, preview: MonthPreview) -> PreviewRow:
    totals = preview.bill.totals if preview.bill else None
    return PreviewRow(
        customer=customer,
        cost_usd=decimal_text(preview.cost_usd),
        supply=won(totals.supply_krw) if totals else "-",
        vat=won(totals.vat_krw) if totals else "-",
        total=won(totals.total_krw) if totals else "-",
        problems=[(problem_text(problem.code), problem.message) for problem in preview.problems],
    )


def _amounts(item: BillingRunItem) -> dict[str, Any]:
    """The invoice's amounts, or the draft's while there is none."""
    draft: BillingDraft | None = getattr(item, "draft", None)
    labels = dict(BillingDraft.Anomaly.choices)
    odd = {"anomalies": [labels[each] for each in draft.anomalies]} if draft else {}
    source = item.invoice or draft
    if source is None:
        return odd
    return odd | {"supply": won(source.supply_krw), "vat": won(source.vat_krw), "total": won(source.total_krw)}


class RunMonthFilter(MonthFilter):
    month_path = "run__month"


def _close_again(item: BillingRunItem, answers: dict[str, Any], actor: str) -> str:
    month = BillingMonth(item.run.month.year, item.run.month.month)
    start_run(month=month, actor=actor, now=timezone.now(), customer=item.customer)
    enqueue([item.pk], actor=actor)
    return _("%(customer)s is being closed.") % {"customer": item.customer}


class DraftInline(ReadOnlyInline):
    model = BillingDraft
    fields = (
        "cost_usd", "upstream_cost_usd", "supply_krw", "vat_krw", "total_krw", "previous_supply_krw", "anomalies",
        "computed_at",
    )  # fmt: skip


@admin.register(BillingRunItem)
class BillingRunItemAdmin(ReadOnlyAdmin):
    inlines = (DraftInline,)
    list_display = ("customer", "run", "status", "problem", "reason", "invoice", "updated_at")
    list_filter = ("status", CustomerFilter, RunMonthFilter, "reason_code")
    list_select_related = ("run", "customer", "invoice")
    search_fields = ("customer__slug", "customer__name", "reason", "invoice__number")
    ordering = ("-run__month", "customer__slug")
    operations = (
        Operation(
            name="close",
            label=gettext_lazy("Close this customer again"),
            note=gettext_lazy("Closes the customer's month if what was missing is there by now."),
            form=OperationForm,
            applies=lambda item: item.status != BillingRunItem.Status.DONE,
            is_bulk=True,
            run=_close_again,
        ),
    )

    @admin.display(description=gettext_lazy("parked because"), ordering="reason_code")
    def problem(self, row: BillingRunItem) -> str:
        return problem_text(row.reason_code)
