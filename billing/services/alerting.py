"""Telling operators what must not wait until somebody looks: failed syncs, waiting prices, sales below cost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q

from accounts.errors import DomainError
from accounts.services import record_audit
from billing.mail import alert_email
from billing.models import Alert
from billing.selectors.margins import negative_margin
from catalog.adapters import fetch_listing
from catalog.models import PriceChange
from catalog.money import decimal_text
from catalog.services import SyncReport, sync_catalog
from usage.periods import BillingMonth

logger = logging.getLogger(__name__)

#: Longer than sending one mail may take, so that a claim that ran out belongs to a dead worker or a mail server's no.
LEASE = timedelta(minutes=10)

#: A subject is cut here.
SUBJECT_CHARS = 300


def raise_alert(*, kind: Alert.Kind, subject: str, detail: Mapping[str, Any], now: datetime) -> Alert | None:
    """Write an alert; None when one about the same subject is open already."""
    try:
        with transaction.atomic():
            return Alert.objects.create(kind=kind, subject=subject[:SUBJECT_CHARS], detail=dict(detail), created_at=now)
    except IntegrityError:
        return None


@transaction.atomic
def acknowledge_alert(*, alert: Alert, actor: str, now: datetime) -> Alert:
    """Somebody knows. The same matter can be raised again after this; acknowledging twice changes nothing."""
    locked = Alert.objects.select_for_update().get(pk=alert.pk)
    if locked.acknowledged_at is None:
        locked.acknowledged_at, locked.acknowledged_by = now, actor
        locked.save(update_fields=["acknowledged_at", "acknowledged_by"])
        record_audit(actor=actor, action="acknowledge_alert", subject=locked)
    return locked


def sync_or_alert(
    *, url: str, approval_percent: Decimal, actor: str, clock: Callable[[], datetime]
) -> SyncReport | None:
    """Sync the catalog from an upstream's address. Whatever goes wrong changes nothing and raises an alert."""
    try:
        body = fetch_listing(url)
        now = clock()
        report = sync_catalog(body=body, source=url, at=now, now=now, actor=actor, approval_percent=approval_percent)
    except DomainError as refusal:
        _alert_failed_sync(url, refusal.code, refusal.message, now=clock())
        return None
    except Exception:
        logger.exception("the catalog sync failed")
        _alert_failed_sync(url, "internal_error", "the catalog sync failed; the log says why", now=clock())
        return None
    alert_waiting_changes(now=now)
    return report


def alert_waiting_changes(*, now: datetime) -> list[Alert]:
    """An alert for each price change that waits; the alerts of those that wait no longer are acknowledged."""
    waiting = {
        f"{change.model.model_id} #{change.pk}": change
        for change in PriceChange.objects.filter(status=PriceChange.Status.AWAITING_APPROVAL).select_related("model")
    }
    about_changes = Alert.objects.filter(kind=Alert.Kind.PRICE_CHANGE_AWAITING)
    about_changes.filter(acknowledged_at__isnull=True).exclude(subject__in=waiting).update(
        acknowledged_at=now, acknowledged_by="decided"
    )
    known = set(about_changes.filter(subject__in=waiting).values_list("subject", flat=True))
    raised = [
        raise_alert(
            kind=Alert.Kind.PRICE_CHANGE_AWAITING,
            subject=subject,
            detail={
                "model": change.model.model_id,
                "percent": None if change.percent is None else decimal_text(change.percent),
                **{f"{key}_percent": percent for key, percent in change.percents.items()},
            },
            now=now,
        )
        for subject, change in waiting.items()
        if subject not in known
    ]
    return [alert for alert in raised if alert is not None]


def alert_negative_margins(*, month: BillingMonth, now: datetime) -> list[Alert]:
    """An alert for each model that sold below its upstream's charges in that month; once a model and month."""
    losses = {f"{month} {loss.model_id}"[:SUBJECT_CHARS]: loss for loss in negative_margin(month)}
    about_losses = Alert.objects.filter(kind=Alert.Kind.NEGATIVE_MARGIN, subject__in=losses)
    known = set(about_losses.values_list("subject", flat=True))
    raised = [
        raise_alert(kind=Alert.Kind.NEGATIVE_MARGIN, subject=subject, detail=loss.as_dict(), now=now)
        for subject, loss in losses.items()
        if subject not in known
    ]
    return [alert for alert in raised if alert is not None]


def send_alerts(*, limit: int, clock: Callable[[], datetime]) -> int:
    """Mail open alerts to OPERATOR_EMAIL, each once, and return how many; without an address they are only listed.

    Any number of workers may do so at once. One that dies between the mail server's yes and our note leaves a claim that
    runs out; the mail goes out again under the same Message-ID. After a failure the rest waits for the next time.
    """
    if not settings.OPERATOR_EMAIL:
        return 0
    sent = 0
    while sent < limit:
        alert = _claim_one(claimed_at=clock())
        if alert is None:
            break
        message = alert_email(alert, recipient=settings.OPERATOR_EMAIL, from_email=settings.DEFAULT_FROM_EMAIL)
        try:
            taken = message.send()
        except OSError as error:  # smtplib's errors are OSErrors
            logger.warning("alert %s was not mailed: %s", alert.pk, type(error).__name__)
            break
        if taken != 1:
            logger.warning("alert %s was not mailed: the mail backend took nothing", alert.pk)
            break
        Alert.objects.filter(pk=alert.pk).update(sent_at=clock(), claimed_until=None)
        sent += 1
    return sent


def _alert_failed_sync(url: str, code: str, message: str, *, now: datetime) -> None:
    host = urlsplit(url).hostname or "CATALOG_URL"
    detail = {"code": code, "message": message[:500]}
    raise_alert(kind=Alert.Kind.CATALOG_SYNC_FAILED, subject=host, detail=detail, now=now)


def _claim_one(*, claimed_at: datetime) -> Alert | None:
    with transaction.atomic(durable=True):
        alert = (
            Alert.objects.select_for_update(skip_locked=True)
            .filter(
                Q(claimed_until__isnull=True) | Q(claimed_until__lte=claimed_at),
                sent_at__isnull=True,
                acknowledged_at__isnull=True,
            )
            .order_by("created_at", "pk")
            .first()
        )
        if alert is not None:
            alert.claimed_until = claimed_at + LEASE
            alert.save(update_fields=["claimed_until"])
        return alert
