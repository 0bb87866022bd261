"""사용량: one month by day and by model."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse

from portal.formatting import usd_columns
from portal.selectors.customers import months_with_usage
from portal.views.tenancy import CustomerPage
from usage.periods import BillingMonth
from usage.selectors import Consumption, open_quarantine, usage_by_day, usage_by_model


class UsagePage(CustomerPage):
    """Usage is shown in the month in which it happened; what arrives late may be billed in a later one."""

    section = "usage"

    def get(self, request: HttpRequest) -> HttpResponse:
        month = self._month()
        by_day = usage_by_day(self.customer, month.first_on, month.last_on)
        by_model = usage_by_model(self.customer, month.first_on, month.last_on)
        day_costs, model_costs = usd_columns(
            [one.total.cost_usd for one in by_day], [one.total.cost_usd for one in by_model]
        )
        context = {
            "month": month,
            "months": sorted({self.this_month, month, *months_with_usage(self.customer)}, reverse=True),
            "days": by_day,
            "day_rows": list(zip(by_day, day_costs[0], strict=True)),
            "model_rows": list(zip(by_model, model_costs[0], strict=True)),
            "total": sum((one.total for one in by_day), Consumption()),
            "total_usd": day_costs[1],
            "quarantined_count": open_quarantine(self.customer, month).count(),
        }
        return self.render("usage.html", context)

    def _month(self) -> BillingMonth:
        """The month that the address asks for, this one if it asks for none; what can't be a month yet is a 404."""
        text = self.request.GET.get("month", "")
        if not text:
            return self.this_month
        try:
            month = BillingMonth.parse(text)
        except ValueError:
            raise Http404 from None
        if month > self.this_month:
            raise Http404
        return month
