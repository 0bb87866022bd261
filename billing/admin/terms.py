"""Adding a term of a contract: whoever adds one is told which months it comes too late for."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from accounts.admin import ServiceAddAdmin
from billing.selectors.terms import billed_before


class TermAdmin(ServiceAddAdmin):
    """An admin of rows that hold for a customer (None: for everybody) on some days."""

    def days(self, row: Any) -> tuple[date, date | None]:
        """The first and the last of them; None while no end is known."""
        return row.effective_from, row.effective_to and row.effective_to - timedelta(days=1)

    def added_response(self, request: HttpRequest, row: Any) -> HttpResponse:
        first_on, last_on = self.days(row)
        late_for = billed_before(row.customer, first_on=first_on, last_on=last_on) if row.customer else []
        for invoice in late_for:
            asked = {"number": invoice.number, "month": f"{invoice.month:%Y-%m}"}
            messages.warning(
                request,
                _("%(number)s of %(month)s was issued before and stays as it is. If this is to hold for it, void it and "
                  "issue it anew, or credit the difference.") % asked,
            )  # fmt: skip
        return super().added_response(request, row)
