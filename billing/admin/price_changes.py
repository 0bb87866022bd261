"""Price changes: whom each meets, the decision about those that wait, and prices announced for a day to come.

They stand here and not with the catalog's own pages because the report counts invoices.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import (
    EMPTY,
    Operation,
    ReasonForm,
    RowSelect,
    ServiceAddAdmin,
    grouped_integer,
    json_text,
    list_url,
)
from billing.selectors.price_changes import PriceChangeReport, report_changes
from catalog.admin import ENTERED_KEYS, PriceForm
from catalog.models import Model, Price, PriceChange
from catalog.services import announce_price, approve_price_change, reject_price_change


class DecisionForm(ReasonForm):
    """What changes by how much, and whom it meets, over the question why."""

    def evidence(self) -> list[tuple[str, str]]:
        if self.row is None:
            return []
        return [
            (_("percent by component"), json_text(self.row.percents)),
            (_("old price"), json_text(self.row.before.components)),
            (_("new price"), json_text(self.row.components)),
            (_("overrides"), json_text(self.row.overrides)),
            (_("customers affected"), _affected(self.row)),
        ]


class AnnouncementForm(PriceForm):
    """A model, the instant from which the price holds, and one box a price component."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        first = {
            "model": forms.ModelChoiceField(
                label=_("model"),
                queryset=Model.objects.all(),
                widget=RowSelect(Price, "model"),
            ),
            "effective_from": forms.DateTimeField(
                label=_("from"), help_text=_("Korean time, such as 2026-12-01 00:00; it has to lie ahead.")
            ),
        }
        self.fields = {**first, **self.fields}


def _approve(change: PriceChange, answers: dict[str, Any], actor: str) -> str:
    approve_price_change(change=change, actor=actor, reason=answers["reason"], now=timezone.now())
    return _("The new price of %(model)s holds from now on.") % {"model": change.model}


def _reject(change: PriceChange, answers: dict[str, Any], actor: str) -> str:
    reject_price_change(change=change, actor=actor, reason=answers["reason"], now=timezone.now())
    return _("The old price of %(model)s stays.") % {"model": change.model}


def _waits(change: PriceChange) -> bool:
    return change.status == PriceChange.Status.AWAITING_APPROVAL


def _affected(change: PriceChange) -> str:
    """ "2 customers, 1,663,530 won in 2026-10"; nothing where nobody was invoiced for the model."""
    report: PriceChangeReport
    (report,) = report_changes([change])
    if not report.customers:
        return EMPTY
    return _("%(count)d customers, %(won)s won in %(month)s: %(names)s") % {
        "count": len(report.customers),
        "won": grouped_integer(report.supply_krw),
        "month": report.month,
        "names": ", ".join(f"{one.slug} {grouped_integer(one.supply_krw)}" for one in report.customers),
    }


@admin.register(PriceChange)
class PriceChangeAdmin(ServiceAddAdmin):
    add_form = AnnouncementForm
    add_note = gettext_lazy(
        "The price of today ends at that instant and this one begins. An announced price is not taken back, only followed "
        "by another for a later day."
    )
    list_display = ("effective_at", "model", "status", "kind", "percent", "source", "decided_at", "decided_by")
    list_filter = ("status", "kind")
    list_select_related = ("model",)
    search_fields = ("model__model_id", "source", "reason")
    fields = (
        "model", "status", "effective_at", "percent", "percents", "affected", "before", "after", "kind", "components",
        "overrides", "listed_pricing", "source", "sync", "created_at", "created_by", "decided_at", "decided_by", "reason",
    )  # fmt: skip
    operations = (
        Operation(
            name="approve",
            label=gettext_lazy("Approve"),
            note=gettext_lazy("The new price begins now. What was used until now keeps the old price."),
            form=DecisionForm,
            applies=_waits,
            is_bulk=True,
            run=_approve,
        ),
        Operation(
            name="reject",
            label=gettext_lazy("Reject"),
            note=gettext_lazy("The old price stays, and is not asked about again until the listing names another."),
            form=DecisionForm,
            applies=_waits,
            is_bulk=True,
            run=_reject,
        ),
    )

    def links(self, row: PriceChange) -> list[tuple[str, str]]:
        return [(_("Prices"), list_url(Price, model__id__exact=row.model_id))]

    def add_row(self, answers: dict[str, Any], actor: str) -> PriceChange:
        return announce_price(
            model=answers["model"],
            components={key: answers[key] for key in ENTERED_KEYS if answers.get(key)},
            overrides=answers["overrides"],
            effective_from=answers["effective_from"],
            actor=actor,
            reason=answers["reason"],
            now=timezone.now(),
        )

    @admin.display(description=gettext_lazy("customers affected"))
    def affected(self, row: PriceChange) -> str:
        return _affected(row)
