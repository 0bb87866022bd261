"""What operators have to know."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import Operation, OperationForm, ReadOnlyAdmin
from billing.models import Alert
from billing.services.alerting import acknowledge_alert


def _acknowledge(alert: Alert, answers: dict[str, Any], actor: str) -> str:
    acknowledge_alert(alert=alert, actor=actor, now=timezone.now())
    return _("Acknowledged.")


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "kind", "subject", "acknowledged_at", "acknowledged_by", "sent_at")
    list_filter = ("kind", ("acknowledged_at", admin.EmptyFieldListFilter))
    search_fields = ("subject",)
    fields = ("kind", "subject", "detail", "created_at", "acknowledged_at", "acknowledged_by", "sent_at")
    operations = (
        Operation(
            name="acknowledge",
            label=gettext_lazy("Acknowledge"),
            note=gettext_lazy("You know of it. If it happens again, it is raised again."),
            form=OperationForm,
            applies=lambda alert: alert.acknowledged_at is None,
            is_bulk=True,
            run=_acknowledge,
        ),
    )
