"""Questions about usage: sums (`sums`, `groups`), and the events themselves (`events`)."""

from usage.selectors.sums import (
    Bases,
    Consumption,
    DayUsage,
    ModelUsage,
    UsageSum,
    billed_sums,
    closed_months,
    customers_with_usage,
    month_lines,
    open_quarantine,
    open_quarantine_counts,
    period_status,
    quarantined_event,
    usage_by_day,
    usage_by_model,
    usage_total,
)

__all__ = [
    "Bases",
    "Consumption",
    "DayUsage",
    "ModelUsage",
    "UsageSum",
    "billed_sums",
    "closed_months",
    "customers_with_usage",
    "month_lines",
    "open_quarantine",
    "open_quarantine_counts",
    "period_status",
    "quarantined_event",
    "usage_by_day",
    "usage_by_model",
    "usage_total",
]
