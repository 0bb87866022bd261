"""잔액: what is owed, what is paid ahead, free credit, and every movement as a page and as a file."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse

from billing.api.balances import statement_file
from billing.selectors.balances import (
    balance_of,
    due_invoices,
    prepayment_outlook,
    statement_rows,
)
from billing.selectors.promotions import credits_of
from portal.formatting import movement
from portal.views.tenancy import CustomerPage
from usage.periods import KST, BillingMonth


class BalancePage(CustomerPage):
    section = "balance"

    def get(self, request: HttpRequest) -> HttpResponse:
        today = self.now.astimezone(KST).date()
        month = asked_month(request, this_month=self.this_month)
        context: dict[str, Any] = {
            "balance": balance_of(self.customer),
            "outlook": prepayment_outlook(self.customer, self.this_month, on=today),
            "due_invoices": due_invoices(self.customer),
            "credits": credits_of(self.customer),
            "today": today,
            "month": month,
            "previous": month.previous(),
            "next": month.next() if month < self.this_month else None,
            "opening": balance_of(self.customer, before=month.first_on),
            "rows": [
                (row, movement(row.kind))
                for row in statement_rows(self.customer, first_on=month.first_on, last_on=month.last_on)
            ],
        }
        return self.render("balance.html", context)


class StatementCsvPage(CustomerPage):
    """The shown month's movements as a file."""

    section = "balance"

    def get(self, request: HttpRequest) -> HttpResponse:
        month = asked_month(request, this_month=self.this_month)
        return statement_file(self.customer, first_on=month.first_on, last_on=month.last_on)


def asked_month(request: HttpRequest, *, this_month: BillingMonth) -> BillingMonth:
    """The month of the address, this one without; 404 for a month that is none or has not begun."""
    text = request.GET.get("month")
    if text is None:
        return this_month
    try:
        month = BillingMonth.parse(text)
    except ValueError:
        raise Http404 from None
    if month > this_month or month.first_on < date(2001, 1, 1):
        raise Http404
    return month
