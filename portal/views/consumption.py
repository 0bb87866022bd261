"""사용량: one month by day, by model and by app."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse

from portal.formatting import usd_columns
from portal.selectors.customers import months_with_usage
from portal.views.tenancy import CustomerPage
from usage.periods import BillingMonth
from usage.selectors import Consumption, open_quarantine, usage_by_day, usage_by_model
from usage.selectors.apps import usage_by_app

#: Of the ranking; the rest is one row.
SHOWN_APPS = 20


class UsagePage(CustomerPage):
    """Usage is shown in the month in which it happened; what arrives late may be billed in a later one."""

    section = "usage"

    def get(self, request: HttpRequest) -> HttpResponse:
        month = self._month()
        by_day = usage_by_day(self.customer, month.first_on, month.last_on)
        by_model = usage_by_model(self.customer, month.first_on, month.last_on)
        by_app = usage_by_app(self.customer, month.first_on, month.last_on)
        apps, more = by_app[:SHOWN_APPS], by_app[SHOWN_APPS:]
        more_apps = sum((one.total for one in more), Consumption())
        day_costs, model_costs, app_costs = usd_columns(
            [one.total.cost_usd for one in by_day],
            [one.total.cost_usd for one in by_model],
            [one.total.cost_usd for one in apps] + [more_apps.cost_usd] * bool(more),
        )
        context = {
            "month": month,
            "months": sorted({self.this_month, month, *months_with_usage(self.customer)}, reverse=True),
            "days": by_day,
            "day_rows": list(zip(by_day, day_costs[0], strict=True)),
            "model_rows": list(zip(by_model, model_costs[0], strict=True)),
            "app_rows": list(zip(apps, app_costs[0], strict=False)),
            "more_apps": more_apps,
            "more_apps_count": len(more),
            "more_apps_cost": app_costs[0][-1] if more else "",
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
