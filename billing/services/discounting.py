"""Discounts of a contract: agreed from a month on, and ended. What was billed under one stays.

All of it happens with the customer's months held, as the close does: a discount is either seen by a bill or comes after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Max

from accounts.errors import Conflict, InvalidInput
from accounts.models import Customer
from accounts.services import record_audit
from billing.models import Discount, Invoice
from billing.selectors.terms import known_model_ids
from billing.services.requiring import (
    require_first_of_month,
    require_reason,
    require_share,
    require_whole_months,
    require_won,
)
from catalog.models import Provider
from usage.services.locking import hold_customer

_WHAT = "a discount"


@transaction.atomic
def add_discount(
    *,
    customer: Customer,
    name: str,
    effective_from: date,
    reason: str,
    actor: str,
    now: datetime,
    share: Decimal | None = None,
    amount_krw: int | None = None,
    provider: Provider | None = None,
    models: Sequence[str] | None = None,
    effective_to: date | None = None,
) -> Discount:
    """Take a share of the supply (0 < share < 1, at most five decimals) or so many won a month off a customer's usage.

    Holds from the month that begins on `effective_from` and before the one that begins on `effective_to` (None: until it is
    ended). Limited to a provider or to models (ids, slugs or aliases), or to nothing. `name` stands on the invoice. Raises
    InvalidInput, and UnknownModel for a model that the catalog does not have.
    """
    name, reason = name.strip(), require_reason(reason)
    if not name or len(name) > 100:
        raise InvalidInput("name: 1 to 100 characters; it stands on the invoice", field="name")
    if (share is None) == (amount_krw is None):
        raise InvalidInput("share: either a share of the supply or so many won a month", field="share")
    if share is not None:
        require_share(share, field="share")
    if amount_krw is not None:
        require_won(amount_krw)
    if provider is not None and models is not None:
        raise InvalidInput("models: a discount is for a provider or for models, not both", field="models")
    require_whole_months(effective_from, effective_to, what=_WHAT)
    hold_customer(customer.pk)
    discount = Discount.objects.create(
        customer=customer,
        name=name,
        share=share,
        amount_krw=amount_krw,
        provider=provider,
        models_covered=None if models is None else known_model_ids(models),
        effective_from=effective_from,
        effective_to=effective_to,
        reason=reason,
        actor=actor,
        created_at=now,
    )
    data = {
        "customer": customer.slug,
        "share": None if share is None else str(share),
        "amount_krw": amount_krw,
        "effective_from": effective_from.isoformat(),
    }
    record_audit(actor=actor, action="add_discount", subject=discount, reason=reason, data=data)
    return discount


@transaction.atomic
def end_discount(*, discount: Discount, effective_to: date, reason: str, actor: str) -> Discount:
    """Let a discount hold no more from the month that begins on `effective_to`; its own first month: it never held.

    Raises Conflict for a discount that has an end already, and for an end before a month that was billed with it: what an
    invoice in force took off was agreed when it was issued.
    """
    reason = require_reason(reason)
    require_first_of_month(effective_to, field="effective_to", what=_WHAT)
    hold_customer(discount.customer_id)
    discount.refresh_from_db()
    if discount.effective_to is not None:
        raise Conflict(f"this discount ends on {discount.effective_to} already", field="effective_to")
    if effective_to < discount.effective_from:
        raise InvalidInput(f"effective_to: not before {discount.effective_from}", field="effective_to")
    taken = discount.invoice_lines.filter(invoice__status__in=(Invoice.Status.ISSUED, Invoice.Status.PAID))
    last = taken.aggregate(month=Max("invoice__month"))["month"]
    if last is not None and effective_to <= last:
        raise Conflict(f"effective_to: the invoice of {last:%Y-%m} has taken it already", field="effective_to")
    discount.effective_to = effective_to
    discount.save(update_fields=["effective_to"])
    data = {"effective_to": effective_to.isoformat()}
    record_audit(actor=actor, action="end_discount", subject=discount, reason=reason, data=data)
    return discount
