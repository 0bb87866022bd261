"""Correcting a price after months were billed at it: the difference first, documents only when a second person approves.

What was billed too much is credited, line by line. What was billed too little stays as it was: a customer is not charged
afterwards for our own mistake in a price (docs/adr).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from accounts.errors import InvalidInput
from accounts.services import record_audit
from billing.errors import AlreadyDecided, SamePerson
from billing.models import CreditNote, PriceCorrection
from billing.selectors.corrections import InvoiceDifference, correction_differences
from billing.selectors.credit_notes import creditable_krw
from billing.services.crediting import issue_credit_note
from billing.services.requiring import require_reason
from catalog.models import Price
from catalog.pricing import PriceError, PriceSheet


@transaction.atomic
def propose_correction(
    *,
    price: Price,
    components: Mapping[str, str],
    overrides: Sequence[Mapping[str, Any]] = (),
    reason: str,
    actor: str,
    now: datetime,
) -> PriceCorrection:
    """Write down what a listed price should have been (USD per unit). Nothing is credited yet.

    Raises InvalidInput for a price that is not a listed one and for components that can't be read.
    """
    reason = require_reason(reason)
    if price.kind != Price.Kind.LISTED:
        raise InvalidInput("price: only a listed price can be corrected", field="price")
    try:
        PriceSheet.parse(components, overrides)
    except PriceError as error:
        raise InvalidInput(f"components: {error}", field="components") from None
    made = PriceCorrection.objects.create(
        price=price,
        components=dict(components),
        overrides=list(overrides),
        reason=reason,
        proposed_by=actor,
        proposed_at=now,
    )
    record_audit(actor=actor, action="propose_correction", subject=made, reason=reason, data={"price": price.pk})
    return made


@transaction.atomic
def approve_correction(*, correction: PriceCorrection, actor: str, now: datetime) -> list[CreditNote]:
    """Issue a credit note for every invoice that was billed too much; nothing for one that was billed too little.

    A line that was credited before gives only what it has left. Raises SamePerson for who proposed it, AlreadyDecided.
    """
    # One approval at a time, whatever it corrects: each gives only what those before it have not.
    list(PriceCorrection.objects.select_for_update().filter(status=PriceCorrection.Status.PROPOSED).order_by("pk"))
    correction = PriceCorrection.objects.select_related("price").get(pk=correction.pk)
    _require_open(correction)
    # E-mail addresses are compared without case.
    if actor.casefold() == correction.proposed_by.casefold():
        raise SamePerson(f"{actor} proposed this correction: somebody else has to approve it", field="actor")
    notes = [note for each in correction_differences(correction) if (note := _credit(each, correction, actor, now))]
    _decide(correction, PriceCorrection.Status.APPROVED, actor, now)
    data = {"notes": [note.number for note in notes], "total_krw": sum(note.total_krw for note in notes)}
    record_audit(actor=actor, action="approve_correction", subject=correction, reason=correction.reason, data=data)
    return notes


@transaction.atomic
def withdraw_correction(*, correction: PriceCorrection, actor: str, reason: str, now: datetime) -> PriceCorrection:
    """Drop a proposal. Raises AlreadyDecided."""
    reason = require_reason(reason)
    correction = PriceCorrection.objects.select_for_update().get(pk=correction.pk)
    _require_open(correction)
    _decide(correction, PriceCorrection.Status.WITHDRAWN, actor, now)
    record_audit(actor=actor, action="withdraw_correction", subject=correction, reason=reason)
    return correction


def _credit(difference: InvoiceDifference, correction: PriceCorrection, actor: str, now: datetime) -> CreditNote | None:
    amounts = {
        one.line.position: min(-one.difference_krw, creditable_krw(one.line))
        for one in difference.lines
        if one.difference_krw < 0
    }
    amounts = {position: amount for position, amount in amounts.items() if amount > 0}
    if not amounts:
        return None
    return issue_credit_note(
        invoice=difference.invoice,
        amounts_krw=amounts,
        amendment_code=CreditNote.Amendment.ERROR,
        reason=correction.reason,
        actor=actor,
        now=now,
    )


def _require_open(correction: PriceCorrection) -> None:
    if correction.status != PriceCorrection.Status.PROPOSED:
        raise AlreadyDecided("this correction was decided before", field="correction")


def _decide(correction: PriceCorrection, status: PriceCorrection.Status, actor: str, now: datetime) -> None:
    correction.status, correction.decided_by, correction.decided_at = status, actor, now
    correction.save(update_fields=["status", "decided_by", "decided_at"])
