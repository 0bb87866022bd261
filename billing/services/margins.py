"""Changing the margin: a new rule from a day on; what was billed under the old one stays."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from django.db import IntegrityError, transaction

from accounts.errors import Conflict, InvalidInput
from accounts.models import Customer
from accounts.services import record_audit
from billing.models import MarginRule

_DECIMALS = 5


def set_margin(*, customer: Customer | None, margin: Decimal, effective_from: date, actor: str) -> MarginRule:
    """The margin from that day on, for one customer or, with None, for all without a rule of their own.

    `margin` is the share of the selling price, at least 0 and below 1, with at most five decimals. The open rule ends
    on that day. The same rule again writes nothing; Conflict when a rule from that day or a later one exists already.
    """
    _require_share(margin)
    try:
        with transaction.atomic():
            return _replace_open_rule(customer, margin, effective_from, actor)
    except IntegrityError:
        raise Conflict(
            f"another margin rule of {_whose(customer)} covers days from {effective_from} on", field="effective_from"
        ) from None


def _replace_open_rule(customer: Customer | None, margin: Decimal, effective_from: date, actor: str) -> MarginRule:
    rules = MarginRule.objects.select_for_update(of=("self",)).filter(customer=customer)
    open_rule = rules.filter(effective_to__isnull=True).first()
    if open_rule is not None:
        if (open_rule.effective_from, open_rule.margin) == (effective_from, margin):
            return open_rule
        if open_rule.effective_from >= effective_from:
            raise Conflict(
                f"{_whose(customer)} already has a margin rule from {open_rule.effective_from}; a rule starts later",
                field="effective_from",
            )
        open_rule.effective_to = effective_from
        open_rule.save(update_fields=["effective_to"])
    rule = MarginRule.objects.create(customer=customer, margin=margin, effective_from=effective_from, created_by=actor)
    data = {"margin": str(margin), "before": str(open_rule.margin) if open_rule else None}
    record_audit(actor=actor, action="set_margin", subject=rule, data=data)
    return rule


def _require_share(margin: Decimal) -> None:
    if not margin.is_finite() or not 0 <= margin < 1:
        raise InvalidInput(f"margin: at least 0 and below 1, not {margin}", field="margin")
    if margin != round(margin, _DECIMALS):
        raise InvalidInput(f"margin: at most {_DECIMALS} decimals", field="margin")


def _whose(customer: Customer | None) -> str:
    return customer.slug if customer is not None else "the default"
