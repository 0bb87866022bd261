"""Promotional credit: granting it, using it up with an invoice, and what else may become of it.

All of it happens with the customer's months held, as the close does: a grant is either seen by a bill or comes after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from django.db import transaction
from django.db.models import F

from accounts.errors import InvalidInput
from accounts.models import Customer
from accounts.services import record_audit
from billing.errors import NotEnoughLeft
from billing.models import Invoice, PromotionalCredit, PromotionalCreditMove
from billing.selectors.bills import BillPromotion
from billing.selectors.terms import known_model_ids
from billing.services.requiring import require_reason, require_won
from billing.services.spending import refresh_spending
from usage.models import BillingPeriod, UsageRollup
from usage.periods import KST, BillingMonth
from usage.selectors import open_quarantine
from usage.services.locking import hold_customer

_USED, _RETURNED = PromotionalCreditMove.Kind.USED, PromotionalCreditMove.Kind.RETURNED
_EXPIRED, _VOIDED = PromotionalCreditMove.Kind.EXPIRED, PromotionalCreditMove.Kind.VOIDED


@transaction.atomic
def grant_credit(
    *,
    customer: Customer,
    name: str,
    amount_krw: int,
    valid_from: date,
    expires_on: date,
    reason: str,
    actor: str,
    now: datetime,
    models: Sequence[str] | None = None,
    priority: int = 0,
) -> PromotionalCredit:
    """Grant so many won of supply for usage of the KST days `valid_from` to `expires_on`, both included.

    `models` are ids, slugs or aliases, None for all; the lowest `priority` is used first. `name` stands on the invoice.
    Raises InvalidInput, and UnknownModel for a model that the catalog does not have.
    """
    name, reason = name.strip(), require_reason(reason)
    if not name or len(name) > 100:
        raise InvalidInput("name: 1 to 100 characters; it stands on the invoice", field="name")
    require_won(amount_krw)
    if not 0 <= priority <= 32767:
        raise InvalidInput("priority: 0 to 32767", field="priority")
    if expires_on < valid_from:
        raise InvalidInput("expires_on: not before the first day", field="expires_on")
    hold_customer(customer.pk)
    credit = PromotionalCredit.objects.create(
        customer=customer,
        name=name,
        amount_krw=amount_krw,
        priority=priority,
        valid_from=valid_from,
        expires_on=expires_on,
        models_covered=None if models is None else known_model_ids(models),
        reason=reason,
        actor=actor,
        granted_at=now,
    )
    data = {"customer": customer.slug, "amount_krw": amount_krw, "expires_on": expires_on.isoformat()}
    record_audit(actor=actor, action="grant_credit", subject=credit, reason=reason, data=data)
    refresh_spending(customer_ids=[customer.pk], now=now)
    return credit


@transaction.atomic
def void_credit(
    *, credit: PromotionalCredit, reason: str, actor: str, now: datetime, amount_krw: int | None = None
) -> PromotionalCredit:
    """Take back what is left of a grant, or so much of it. Nothing left and no amount named: nothing happens.

    Raises NotEnoughLeft for more than is left; what an invoice used stays used.
    """
    reason = require_reason(reason)
    hold_customer(credit.customer_id)
    credit.refresh_from_db()
    won = credit.remaining_krw if amount_krw is None else amount_krw
    if amount_krw is not None and amount_krw <= 0:
        raise InvalidInput("amount_krw: more than 0 won", field="amount_krw")
    if won > credit.remaining_krw:
        raise NotEnoughLeft(f"{credit.remaining_krw} won of the credit are left, not {won}", field="amount_krw")
    if won:
        _move(credit, _VOIDED, won, actor=actor, now=now, reason=reason)
        record_audit(actor=actor, action="void_credit", subject=credit, reason=reason, data={"amount_krw": won})
        refresh_spending(customer_ids=[credit.customer_id], now=now)
        credit.refresh_from_db()
    return credit


@transaction.atomic
def use_credits(
    *, uses: Sequence[tuple[Invoice, BillPromotion]], actor: str, now: datetime
) -> list[PromotionalCreditMove]:
    """Note what invoices take off; call it in the issuing transaction, which holds the customers' months."""
    moves = PromotionalCreditMove.objects.bulk_create(
        PromotionalCreditMove(
            credit=promotion.credit,
            kind=_USED,
            amount_krw=promotion.amount_krw,
            invoice=invoice,
            actor=actor,
            moved_at=now,
        )
        for invoice, promotion in uses
    )
    refresh_spending(customer_ids=[invoice.customer_id for invoice, _ in uses], now=now)
    return moves


@transaction.atomic
def return_credits(*, invoice: Invoice, reason: str, actor: str, now: datetime) -> list[PromotionalCreditMove]:
    """Give back what an invoice used, because it is void; repeating it changes nothing."""
    hold_customer(invoice.customer_id)
    moves = PromotionalCreditMove.objects.filter(invoice=invoice).select_related("credit").order_by("pk")
    returned = {move.credit_id for move in moves if move.kind == _RETURNED}
    back = [
        _move(move.credit, _RETURNED, move.amount_krw, actor=actor, now=now, invoice=invoice, reason=reason)
        for move in moves
        if move.kind == _USED and move.credit_id not in returned
    ]
    if back:
        refresh_spending(customer_ids=[invoice.customer_id], now=now)
    return back


def expire_credits(*, now: datetime, actor: str) -> int:
    """Write off what no bill can use any more, and return of how many grants. Safe at any time and in any number.

    A grant waits until the month of its last day has been settled for its customer: closed, or over without usage.
    """
    today = now.astimezone(KST).date()
    left = F("used_krw") + F("expired_krw") + F("voided_krw")
    over = PromotionalCredit.objects.filter(expires_on__lt=today, amount_krw__gt=left)
    return sum(
        _expire(pk, now=now, actor=actor) for pk in over.order_by("customer_id", "pk").values_list("pk", flat=True)
    )


@transaction.atomic
def _expire(credit_pk: int, *, now: datetime, actor: str) -> bool:
    hold_customer(PromotionalCredit.objects.values_list("customer_id", flat=True).get(pk=credit_pk))
    credit = PromotionalCredit.objects.select_related("customer").get(pk=credit_pk)
    month = BillingMonth(credit.expires_on.year, credit.expires_on.month)
    if credit.remaining_krw == 0 or now < month.end_at or not _is_settled(credit.customer, month):
        return False
    _move(credit, _EXPIRED, credit.remaining_krw, actor=actor, now=now)
    return True


def _is_settled(customer: Customer, month: BillingMonth) -> bool:
    """Whether no bill of that month is to come any more."""
    period = BillingPeriod.objects.filter(customer=customer, month=month.first_on).first()
    if period is not None and period.status == BillingPeriod.Status.CLOSED:
        standing = Invoice.objects.filter(period=period).exclude(status=Invoice.Status.VOID)
        return period.outcome != BillingPeriod.Outcome.INVOICED or standing.exists()
    has_usage = UsageRollup.objects.filter(customer=customer, billing_month=month.first_on).exists()
    return not has_usage and not open_quarantine(customer, month).exists()


def _move(
    credit: PromotionalCredit,
    kind: PromotionalCreditMove.Kind,
    amount_krw: int,
    *,
    actor: str,
    now: datetime,
    invoice: Invoice | None = None,
    reason: str = "",
) -> PromotionalCreditMove:
    return PromotionalCreditMove.objects.create(
        credit=credit, kind=kind, amount_krw=amount_krw, invoice=invoice, reason=reason, actor=actor, moved_at=now
    )
