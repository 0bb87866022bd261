"""Celery's side of billing: each task is one service call, safe to run twice. `config.celery` routes them to queues."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from billing.adapters.eximbank import EximbankClient
from billing.services import alerting, closing, delivering, exchange, granting, reconciling, spending, steps, topping_up
from usage.periods import KST, BillingMonth

#: Rows a task drains before it makes room for others on its queue; the next beat goes on.
DELIVERIES_PER_TASK = 200
#: Mails of a task; more than that are about one and the same trouble.
ALERTS_PER_TASK = 50
#: How far back rates are asked for: makes good a week in which nobody asked.
RATE_DAYS = timedelta(days=7)
#: How many days before today are reconciled: a week makes good a weekend without statements.
RECONCILED_DAYS = timedelta(days=7)


@shared_task
def close_customers(item_ids: list[int], actor: str) -> None:
    """Close some customers of a billing run, but those that somebody else closes or closed. The last ends the run."""
    items = closing.close_customers(item_ids=item_ids, actor=actor, now=timezone.now())
    if items:
        closing.finish_run(run=items[0].run, now=timezone.now())


@shared_task
def draft_customers(item_ids: list[int]) -> None:
    """Compute the drafts of some customers of a run in steps; left out are those that somebody else does or did."""
    steps.draft_customers(item_ids=item_ids, now=timezone.now())


@shared_task
def deliver_due() -> None:
    """Drain the outbox. Safe to run at any time and in any number."""
    delivering.deliver_due(now=timezone.now(), limit=DELIVERIES_PER_TASK)


@shared_task
def fetch_rates() -> None:
    """Fetch the rates published in the last days. Without a key of the bank, rates are entered by hand."""
    if not settings.EXIMBANK_AUTH_KEY:
        return
    now = timezone.now()
    today = now.astimezone(KST).date()
    client = EximbankClient.from_settings()
    exchange.fetch_rates(first=today - RATE_DAYS, last=today, client=client, actor="beat fetch_rates", now=now)


@shared_task
def sync_catalog() -> None:
    """Read the upstream's listing. Without CATALOG_URL listings are read by hand."""
    if settings.CATALOG_URL:
        alerting.sync_or_alert(
            url=settings.CATALOG_URL,
            approval_percent=Decimal(settings.PRICE_CHANGE_APPROVAL_PERCENT),
            actor="beat sync_catalog",
            clock=timezone.now,
        )


@shared_task
def raise_alerts() -> None:
    """Look for what operators have to know: prices that wait, and sales below cost in this month and the last."""
    now = timezone.now()
    alerting.alert_waiting_changes(now=now)
    month = BillingMonth.of(now)
    for each in (month.previous(), month):
        alerting.alert_negative_margins(month=each, now=now)


@shared_task
def alert_reconciliation() -> None:
    """Look at the last days' charges beside our costs: days whose statements came late are looked at again."""
    now = timezone.now()
    today = now.astimezone(KST).date()
    reconciling.alert_reconciliation(
        first=today - RECONCILED_DAYS,
        last=today - timedelta(days=1),
        drift_percent=settings.DRIFT_ALERT_PERCENT,
        now=now,
    )


@shared_task
def request_top_ups() -> None:
    """Tell customers whose prepayment runs low, once each until it is up again."""
    topping_up.request_top_ups(now=timezone.now())


@shared_task
def expire_credits() -> None:
    """Write off promotional credit that no bill can use any more."""
    granting.expire_credits(now=timezone.now(), actor="beat expire_credits")


@shared_task
def send_alerts() -> None:
    """Mail what operators have to know. Safe to run at any time and in any number."""
    alerting.send_alerts(limit=ALERTS_PER_TASK, clock=timezone.now)


@shared_task
def refresh_spending() -> None:
    """Recount what every customer may still spend, with the rate and the margin of the day."""
    spending.refresh_all_spending(now=timezone.now())
