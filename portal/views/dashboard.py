"""홈: the running month at a glance."""

from __future__ import annotations

from decimal import Decimal

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from billing.errors import CannotBill, NoExchangeRate, NoMarginRule, NoTaxProfile
from billing.models import InvoiceLine
from billing.selectors.bills import MonthBill
from billing.selectors.previews import month_preview
from catalog.money import exact_sum
from portal.selectors.customers import issued_invoices
from portal.views.tenancy import CustomerPage
from usage.periods import KST
from usage.selectors import Consumption, usage_by_day
from usage.selectors.hours import last_hours

RECENT_INVOICES = 3
RECENT_HOURS = 48


class DashboardPage(CustomerPage):
    section = "dashboard"

    def get(self, request: HttpRequest) -> HttpResponse:
        month, today = self.this_month, self.now.astimezone(KST).date()
        preview = month_preview(self.customer, month, on=today)
        days = usage_by_day(self.customer, month.first_on, month.last_on)
        hours = last_hours(self.customer, RECENT_HOURS, now=self.now)
        context = {
            "month": month,
            "today": today,
            "preview": preview,
            "reasons": [
                _why(problem) for problem in preview.problems if isinstance(problem, NoExchangeRate | NoMarginRule)
            ],
            "needs_tax_profile": any(isinstance(problem, NoTaxProfile) for problem in preview.problems),
            "late_usd": _late_usd(preview.bill),
            "days": days,
            "hours": hours,
            "used_hours": [one for one in hours if one.total.requests],
            "total": sum((one.total for one in days), Consumption()),
            "invoices": issued_invoices(self.customer).defer("document")[:RECENT_INVOICES],
        }
        return self.render("dashboard.html", context)


def _why(problem: CannotBill) -> str:
    """Why there is no amount in won, in a sentence for the customer."""
    if isinstance(problem, NoExchangeRate):
        return _("No exchange rate has been published for this month yet.")
    return _("The fee rate of your contract has not been entered yet. Please ask your contact person.")


def _late_usd(bill: MonthBill | None) -> Decimal:
    """USD of earlier months that arrived after their month was closed; this month bills them."""
    lines = bill.lines if bill else ()
    return exact_sum(line.usage.total.cost_usd for line in lines if line.kind == InvoiceLine.Kind.SUPPLEMENTARY)
