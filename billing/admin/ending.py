"""Ending a term of a contract: what holds no more from a day on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import DateInput, Operation, ReasonForm


def end_operation(end: Callable[..., object], *, term: str, help_text: Any) -> Operation:
    """The operation that calls a service which ends its keyword argument `term`: offered once, for an end is set once.

    `help_text` says which day is asked for.
    """

    class EndForm(ReasonForm):
        effective_to = forms.DateField(label=gettext_lazy("to"), widget=DateInput(), help_text=help_text)
        field_order = ("effective_to", "reason")

    def run(row: Any, answers: dict[str, Any], actor: str) -> str:
        end(**{term: row}, **answers, actor=actor)
        return _("It holds no more from %(day)s on.") % {"day": answers["effective_to"].isoformat()}

    return Operation(
        name="end",
        label=gettext_lazy("End"),
        note=gettext_lazy("What was billed with it stays."),
        form=EndForm,
        applies=lambda row: row.effective_to is None,
        run=run,
    )
