"""What operators decide about prices: changes that wait, and prices that begin on a day to come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from accounts.errors import Conflict, InvalidInput
from accounts.services import record_audit
from catalog.changes import component_changes, overall_percent
from catalog.errors import PriceChangeDecided, PriceChangeOutdated
from catalog.models import Model, Price, PriceChange
from catalog.pricing import PriceError, PriceSheet
from catalog.selectors import price_in_force, sheet_of
from catalog.services.locking import hold_catalog
from catalog.services.recording import as_json, last_price, percent_texts

ANNOUNCED_SOURCE = "announcement"
MAX_REASON_CHARS = 500


@transaction.atomic
def approve_price_change(*, change: PriceChange, actor: str, reason: str, now: datetime) -> PriceChange:
    """Let the new price of a waiting change begin now; what was used until now keeps the old price.

    A price announced for later still begins on its day. Raises InvalidInput without a reason, PriceChangeDecided when it
    waits no longer, PriceChangeOutdated when another price came into force since the two were compared.
    """
    locked = _locked(change, reason)
    current = price_in_force(locked.model, at=now)
    if current is None or last_price(locked.model_id, at=now) != locked.before or current.effective_from >= now:
        raise PriceChangeOutdated(
            f"the price of {locked.model.model_id} changed since; the next sync compares anew", field="change"
        )
    until = current.effective_to
    _end(current, at=now)
    locked.after = Price.objects.create(
        model=locked.model,
        kind=locked.kind,
        effective_from=now,
        effective_to=until,
        components=locked.components,
        overrides=locked.overrides,
        listed_pricing=as_json(locked.listed_pricing),
        source=locked.source,
        created_by=actor,
    )
    return _decide(locked, PriceChange.Status.APPLIED, "approve_price_change", actor=actor, reason=reason, now=now)


@transaction.atomic
def reject_price_change(*, change: PriceChange, actor: str, reason: str, now: datetime) -> PriceChange:
    """Keep the old price. Syncs leave it alone until the listing names another one than the rejected.

    Raises InvalidInput without a reason, PriceChangeDecided when it waits no longer.
    """
    locked = _locked(change, reason)
    return _decide(locked, PriceChange.Status.REJECTED, "reject_price_change", actor=actor, reason=reason, now=now)


@transaction.atomic
def announce_price(
    *,
    model: Model,
    components: Mapping[str, str],
    overrides: Sequence[Mapping[str, Any]] = (),
    effective_from: datetime,
    actor: str,
    reason: str,
    now: datetime,
) -> PriceChange:
    """Let a price begin on a day to come: the open interval ends there, the announced one is open from there.

    `components` are decimal strings of USD per unit, `overrides` as in a listing. An announcement is a promise: it is not
    taken back, only followed by another for a later day. What a sync does meanwhile: `sync_catalog`, docs/adr/0007.

    Raises InvalidInput naming the price key, `effective_from` or `reason`, and Conflict for a model that has no price yet
    or an announced one from that day or a later one.
    """
    _require_reason(reason)
    if effective_from.utcoffset() is None or effective_from <= now:
        raise InvalidInput("effective_from: an instant to come, with its time zone", field="effective_from")
    try:
        sheet = PriceSheet.parse(components, overrides)
    except PriceError as error:
        raise InvalidInput(str(error), field=error.key, price_code=error.code) from None
    hold_catalog()
    last = model.prices.order_by("-effective_from").first()
    if last is None or last.effective_to is not None:
        raise Conflict(f"{model.model_id} has no open price that another could follow", field="model")
    if last.effective_from >= effective_from:
        raise Conflict(
            f"{model.model_id} already has a price from {last.effective_from.isoformat()}; announce a later day",
            field="effective_from",
        )
    old = sheet_of(last)
    changes = component_changes(old, sheet) if old is not None else ()
    if old is not None and old == sheet:
        raise InvalidInput(f"this is already the price of {model.model_id}", field="components")
    _end(last, at=effective_from)
    announced: dict[str, Any] = {
        "model": model,
        "kind": Price.Kind.LISTED,
        "components": dict(components),
        "overrides": [dict(override) for override in overrides],
        "source": ANNOUNCED_SOURCE,
        "created_by": actor,
    }
    change = PriceChange.objects.create(
        **announced,
        status=PriceChange.Status.ANNOUNCED,
        before=last_price(model.pk, at=last.effective_from) or last,
        after=Price.objects.create(**announced, effective_from=effective_from),
        percents=percent_texts(changes),
        percent=overall_percent(changes),
        effective_at=effective_from,
        decided_at=now,
        decided_by=actor,
        reason=reason,
    )
    _audit(change, "announce_price", actor=actor, reason=reason)
    return change


def _locked(change: PriceChange, reason: str) -> PriceChange:
    """The change, held for a decision."""
    _require_reason(reason)
    hold_catalog()
    locked = PriceChange.objects.select_for_update(of=("self",)).select_related("model", "before").get(pk=change.pk)
    if locked.status != PriceChange.Status.AWAITING_APPROVAL:
        raise PriceChangeDecided(f"price change {locked.pk} is {locked.status}, not awaiting approval", field="change")
    return locked


def _require_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > MAX_REASON_CHARS:
        raise InvalidInput(f"reason: say why, in at most {MAX_REASON_CHARS} characters", field="reason")


def _end(price: Price, *, at: datetime) -> None:
    price.effective_to = at
    price.save(update_fields=["effective_to"])


def _decide(
    change: PriceChange, status: PriceChange.Status, action: str, *, actor: str, reason: str, now: datetime
) -> PriceChange:
    change.status, change.decided_at, change.decided_by, change.reason = status, now, actor, reason
    change.save(update_fields=["status", "after", "decided_at", "decided_by", "reason"])
    _audit(change, action, actor=actor, reason=reason)
    return change


def _audit(change: PriceChange, action: str, *, actor: str, reason: str) -> None:
    data = {
        "model": change.model.model_id,
        "before": change.before.components,
        "after": change.components,
        "overrides": change.overrides,
        "percents": change.percents,
        "effective_at": change.effective_at.isoformat(),
    }
    record_audit(actor=actor, action=action, subject=change, reason=reason, data=data)
