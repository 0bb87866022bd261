"""Questions about usage: sums (`sums`, `groups`), and the events themselves (`events`)."""

from usage.selectors.sums import (
    Consumption,
    DayUsage,
    ModelUsage,
    UsageSum,
    closed_months,
    customers_with_usage,
    month_lines,
    open_quarantine,
    period_status,
    quarantined_event,
    usage_by_day,
    usage_by_model,
    usage_total,
)

__all__ = [
    "Consumption",
    "DayUsage",
    "ModelUsage",
    "UsageSum",
    "closed_months",
    "customers_with_usage",
    "month_lines",
    "open_quarantine",
    "period_status",
    "quarantined_event",
    "usage_by_day",
    "usage_by_model",
    "usage_total",
]
