"""Events that wait for a price."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from kombu.exceptions import KombuError

from accounts.admin import (
    EMPTY,
    CustomerFilter,
    Operation,
    OperationForm,
    ReadOnlyAdmin,
    ReasonForm,
    change_link,
    list_url,
    plain_decimal,
)
from catalog.models import Price
from usage.admin.reading import REASONS, BilledInFilter, BoundedPaginator
from usage.models import QuarantinedEvent, RatingJob, UsageEvent
from usage.services.quarantine import exclude_quarantined
from usage.services.rerating import run_rating, start_rating
from usage.tasks import rate_quarantine

logger = logging.getLogger(__name__)

RELOAD_SECONDS = "3"


def _rate_again(event: QuarantinedEvent, answers: dict[str, Any], actor: str) -> str:
    """The first chunk here and now, the rest by a worker."""
    job = start_rating(customer=event.customer, actor=actor, now=timezone.now())
    job = run_rating(job_id=job.pk, clock=timezone.now, max_chunks=1)
    if job.status == RatingJob.Status.RUNNING:
        hand_over()
        return _("%(slug)s: %(examined)d of %(total)d waiting events looked at, the rest follows.") % {
            "slug": event.customer.slug,
            "examined": job.examined,
            "total": job.total,
        }
    sentence = ngettext(
        "%(slug)s: %(rated)d of %(examined)d waiting event priced, USD %(cost)s.",
        "%(slug)s: %(rated)d of %(examined)d waiting events priced, USD %(cost)s.",
        job.examined,
    )
    return sentence % {
        "slug": event.customer.slug,
        "rated": job.rated,
        "examined": job.examined,
        "cost": plain_decimal(job.cost_usd),
    }


def hand_over() -> None:
    """Tell a worker. A broker that is away loses nothing: beat looks for unfinished runs as well."""
    try:
        rate_quarantine.delay()
    except KombuError:
        logger.exception("no worker could be told")


def _exclude(event: QuarantinedEvent, answers: dict[str, Any], actor: str) -> str:
    exclude_quarantined(event=event, actor=actor, reason=answers["reason"], now=timezone.now())
    return _("Excluded from billing.")


class ReasonFilter(admin.SimpleListFilter):
    title = gettext_lazy("why")
    parameter_name = "code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(REASONS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(code=self.value()) if self.value() else queryset


def _is_open(event: QuarantinedEvent) -> bool:
    return event.status == QuarantinedEvent.Status.OPEN


@admin.register(QuarantinedEvent)
class QuarantinedEventAdmin(ReadOnlyAdmin):
    list_display = (
        "occurred_at",
        "customer",
        "served_model",
        "why",
        "status",
        "cost_usd",
        "billing_month",
        "event_id",
    )
    list_filter = ("status", CustomerFilter, BilledInFilter, ReasonFilter)
    list_select_related = ("customer",)
    search_fields = ("=event_id", "served_model", "detail")
    paginator = BoundedPaginator
    show_full_result_count = False
    operations = (
        Operation(
            name="rate",
            label=gettext_lazy("Price again"),
            note=gettext_lazy(
                "Prices every waiting event of the customer whose model has a price by now, each at the price in force "
                "when it happened. The others go on waiting."
            ),
            form=OperationForm,
            applies=_is_open,
            is_bulk=True,
            distinct=lambda event: event.customer_id,
            run=_rate_again,
        ),
        Operation(
            name="exclude",
            label=gettext_lazy("Exclude from billing"),
            note=gettext_lazy("The event stays stored and is never billed. This can't be undone."),
            form=ReasonForm,
            applies=_is_open,
            is_bulk=True,
            run=_exclude,
        ),
    )

    def list_links(self, request: HttpRequest) -> list[tuple[str, str]]:
        return [(_("Pricing runs"), list_url(RatingJob))]

    fields = (
        "customer", "event", "occurred_at", "billing_month", "served_model", "why", "detail", "status", "cost_usd",
        "rated_price", "created_at", "resolved_at", "resolved_by", "resolution",
    )  # fmt: skip

    def described(self, row: QuarantinedEvent) -> str:
        return f"{row.customer}, {row.event_id}, {row.served_model}: {self.why(row)}"

    @admin.display(description=gettext_lazy("why"), ordering="code")
    def why(self, row: QuarantinedEvent) -> str:
        return str(REASONS.get(row.code, row.code))

    @admin.display(description=gettext_lazy("event"))
    def event(self, row: QuarantinedEvent) -> str:
        event = UsageEvent.objects.filter(
            customer_id=row.customer_id, occurred_at=row.occurred_at, event_id=row.event_id
        ).first()
        return change_link(UsageEvent, event.pk, event.event_id) if event else row.event_id

    @admin.display(description=gettext_lazy("price"))
    def rated_price(self, row: QuarantinedEvent) -> str:
        price = Price.objects.select_related("model").filter(pk=row.price_id or 0).first()
        return change_link(Price, price.pk, str(price)) if price else EMPTY


@admin.register(RatingJob)
class RatingJobAdmin(ReadOnlyAdmin):
    """Runs with their progress; a page reloads itself while its run is under way."""

    list_display = (
        "started_at",
        "customer",
        "status",
        "total",
        "examined",
        "rated",
        "cost_usd",
        "finished_at",
        "actor",
    )
    list_filter = ("status", CustomerFilter)
    list_select_related = ("customer",)
    fields = (
        "customer", "status", "total", "examined", "rated", "cost_usd", "started_at", "updated_at", "finished_at", "actor",
        "error",
    )  # fmt: skip

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().change_view(request, object_id, form_url, extra_context)
        running = RatingJob.objects.filter(status=RatingJob.Status.RUNNING)
        if object_id.isdecimal() and running.filter(pk=int(object_id)).exists():
            response["Refresh"] = RELOAD_SECONDS
        return response
