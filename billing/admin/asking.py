"""What several operations with money ask for: won, a day and time in Korea, a transfer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.admin import ReasonForm
from billing.services.requiring import MOST_WON


class WonField(forms.IntegerField):
    """Whole won, as they are written: separators are taken, points and letters are asked again."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            min_value=1, max_value=MOST_WON, widget=forms.TextInput(attrs={"inputmode": "numeric"}), **options
        )

    def to_python(self, value: Any) -> int | None:
        return super().to_python(value.replace(",", "") if isinstance(value, str) else value)


def moment_field(label: Any, *, is_now: bool = True) -> forms.DateTimeField:
    """A day and time in Korea."""
    return forms.DateTimeField(
        label=label,
        initial=_now if is_now else None,
        help_text=_("Korean time."),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )


def _now() -> datetime:
    return timezone.localtime().replace(second=0, microsecond=0, tzinfo=None)


class PartForm(ReasonForm):
    """So many won, or all that are left."""

    amount_krw = WonField(label=_("amount (KRW)"), required=False, help_text=_("Empty: all that is left."))
    field_order: Sequence[str] = ("amount_krw", "reason")


class RefundForm(PartForm):
    """A transfer that went out."""

    reference = forms.CharField(label=_("bank reference"), max_length=100)
    refunded_at = moment_field(_("refunded"))
    field_order = ("amount_krw", "reference", "refunded_at", "reason")
