"""Zero rating (영세율): recording the evidence by which a customer's supplies carry no VAT, and withdrawing it.

All of it happens with the customer's months held, as the close does: evidence is either seen by a bill or comes after it.
"""

from __future__ import annotations

import re
from datetime import date, datetime

from django.db import IntegrityError, transaction

from accounts.errors import Conflict, InvalidInput
from accounts.models import Customer
from accounts.services import record_audit
from billing.models import ZeroRating
from billing.services.requiring import require_length, require_reason, require_whole_months
from usage.periods import BillingMonth
from usage.services.locking import hold_customer

_SHA256 = re.compile(r"[0-9a-f]{64}")


def record_zero_rating(
    *,
    customer: Customer,
    article: str,
    reference: str,
    sha256: str,
    accepted_by: str,
    effective_from: date,
    reason: str,
    actor: str,
    now: datetime,
    clause: str = "",
    effective_to: date | None = None,
) -> ZeroRating:
    """No VAT on a customer's invoices of the months from `effective_from` on and before `effective_to` (None: until it is
    withdrawn), by an article of the law (`ZeroRating.Article`) and its clause.

    `reference` says where the document is that proves it, `sha256` which one it is, `accepted_by` who has looked at it.
    Raises InvalidInput, and Conflict where evidence covers some of these months already.
    """
    reason = require_reason(reason)
    reference = require_length(reference, field="reference", most=200)
    accepted_by = require_length(accepted_by, field="accepted_by", most=200)
    _require_evidence(article, reference, sha256, accepted_by)
    clause = require_length(clause, field="clause", most=100)
    require_whole_months(effective_from, effective_to, what="evidence")
    try:
        with transaction.atomic():
            hold_customer(customer.pk)
            made = ZeroRating.objects.create(
                customer=customer,
                article=article,
                clause=clause,
                reference=reference,
                sha256=sha256,
                accepted_by=accepted_by,
                effective_from=effective_from,
                effective_to=effective_to,
                reason=reason,
                actor=actor,
                created_at=now,
            )
            data = {"customer": customer.slug, "law": made.law, "reference": made.reference, "sha256": sha256}
            record_audit(actor=actor, action="record_zero_rating", subject=made, reason=reason, data=data)
            return made
    except IntegrityError:
        raise Conflict(
            f"evidence of {customer.slug} covers months from {effective_from} on already", field="effective_from"
        ) from None


@transaction.atomic
def withdraw_zero_rating(*, zero_rating: ZeroRating, reason: str, actor: str, now: datetime) -> ZeroRating:
    """VAT again from next month on; evidence that begins only then never holds. Issued invoices stay as they are.

    Raises Conflict where it ends no later anyway.
    """
    reason = require_reason(reason)
    hold_customer(zero_rating.customer_id)
    zero_rating.refresh_from_db()
    end = max(BillingMonth.of(now).next().first_on, zero_rating.effective_from)
    if zero_rating.effective_to is not None and zero_rating.effective_to <= end:
        raise Conflict(f"this evidence ends on {zero_rating.effective_to} already")
    zero_rating.effective_to = end
    zero_rating.save(update_fields=["effective_to"])
    data = {"effective_to": end.isoformat()}
    record_audit(actor=actor, action="withdraw_zero_rating", subject=zero_rating, reason=reason, data=data)
    return zero_rating


def _require_evidence(article: str, reference: str, sha256: str, accepted_by: str) -> None:
    if article not in ZeroRating.Article.values:
        raise InvalidInput(f"article: one of {', '.join(ZeroRating.Article.values)}", field="article")
    if not reference:
        raise InvalidInput("reference: say which document it is and where it is kept", field="reference")
    if not accepted_by:
        raise InvalidInput("accepted_by: somebody has to accept the evidence", field="accepted_by")
    if not _SHA256.fullmatch(sha256):
        raise InvalidInput("sha256: 64 hexadecimal digits in small letters", field="sha256")
