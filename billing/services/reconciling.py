"""Telling operators where the upstream's charges and our books part."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from billing.models import Alert
from billing.selectors.reconciliation import reconciliation_report
from billing.services.alerting import SUBJECT_CHARS, raise_alert
from catalog.money import decimal_text
from usage.selectors.estimates import overlapping_estimates
from usage.selectors.reconciliation import ModelReconciliation

_KINDS = (Alert.Kind.UPSTREAM_DRIFT, Alert.Kind.MISSING_HERE, Alert.Kind.ESTIMATE_OVERLAP)


def alert_reconciliation(*, first: date, last: date, drift_percent: int, now: datetime) -> list[Alert]:
    """An alert for each Korean day and model that drifted by more than `drift_percent` of its charges or has charges that
    are missing here, and for each estimate that was invoiced before its events came. Once a matter, acknowledged or not.
    """
    matters: dict[tuple[Alert.Kind, str], dict[str, Any]] = {}
    for row in reconciliation_report(first, last).rows:
        one = row.figures
        subject = f"{one.day} {one.model_id}"[:SUBJECT_CHARS]
        if _drifts(one, drift_percent):
            matters[Alert.Kind.UPSTREAM_DRIFT, subject] = {
                "model": one.model_id,
                "day": str(one.day),
                "responses": one.drifted,
                "cost_usd": decimal_text(one.cost_usd),
                "charged_usd": decimal_text(one.charged_usd),
                "drift_usd": decimal_text(one.drift_usd),
            }
        if one.missing_here:
            matters[Alert.Kind.MISSING_HERE, subject] = {
                "model": one.model_id,
                "day": str(one.day),
                "responses": one.missing_here,
                "charged_usd": decimal_text(one.missing_here_usd),
            }
    for estimate in overlapping_estimates():
        subject = f"{estimate.day} {estimate.customer.slug} {estimate.permaslug}"[:SUBJECT_CHARS]
        matters.setdefault(
            (Alert.Kind.ESTIMATE_OVERLAP, subject),
            {"customer": estimate.customer.slug, "model": estimate.permaslug, "utc_day": str(estimate.day)},
        )
    known = set(Alert.objects.filter(kind__in=_KINDS).values_list("kind", "subject"))
    raised = [
        raise_alert(kind=kind, subject=subject, detail=detail, now=now)
        for (kind, subject), detail in matters.items()
        if (kind.value, subject) not in known
    ]
    return [alert for alert in raised if alert is not None]


def _drifts(one: ModelReconciliation, percent: int) -> bool:
    """Whether the drift is more than that share of the charges; without charges any drift is."""
    return abs(one.drift_usd) * 100 > one.charged_usd * percent
