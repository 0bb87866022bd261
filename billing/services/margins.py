"""Changing the margin: a new rule from a day on; what was billed under the old one stays."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction

from accounts.errors import Conflict, InvalidInput
from accounts.models import Customer
from accounts.services import record_audit
from billing.margins import Basis
from billing.models import MarginRule
from billing.services.requiring import require_share
from catalog.models import Model, Provider
from catalog.money import decimal_text

_FAMILY = re.compile(r"[^/\s]+/\S+")


@dataclass(frozen=True)
class _Scope:
    """What a rule is about, as its row names it."""

    customer: Customer | None
    provider: Provider | None
    family: str
    model: Model | None

    @property
    def columns(self) -> dict[str, Any]:
        return {"customer": self.customer, "provider": self.provider, "family": self.family, "model": self.model}

    def __str__(self) -> str:
        about = self.provider or self.family or self.model
        whose = self.customer.slug if self.customer is not None else "the default"
        return f"{whose} about {about}" if about else whose


def set_margin(
    *,
    customer: Customer | None,
    margin: Decimal,
    effective_from: date,
    actor: str,
    provider: Provider | None = None,
    family: str = "",
    model: Model | None = None,
    basis: Basis | None = None,
) -> MarginRule:
    """The margin from that day on, for one customer or, with None, for all without a rule of their own.

    At most one of `provider`, `family` (how the ids of its models begin, such as `anthropic/claude-`) and `model` limits
    the rule. `margin` is the share of the selling price, at least 0 and below 1, with at most five decimals; `basis` is
    what it is reckoned on, None for that of the open rule about the same, otherwise our list cost. The open rule ends on
    that day. The same rule again writes nothing; Conflict when one from that day or a later one exists already.
    """
    require_share(margin, field="margin", may_be_zero=True)
    scope = _Scope(customer, provider, family.strip(), model)
    _require_scope(scope)
    try:
        with transaction.atomic():
            return _replace_open_rule(scope, margin, basis, effective_from, actor)
    except IntegrityError:
        raise Conflict(
            f"another margin rule of {scope} covers days from {effective_from} on", field="effective_from"
        ) from None


def _replace_open_rule(
    scope: _Scope, margin: Decimal, basis: Basis | None, effective_from: date, actor: str
) -> MarginRule:
    rules = MarginRule.objects.select_for_update(of=("self",)).filter(**scope.columns)
    open_rule = rules.filter(effective_to__isnull=True).first()
    if basis is None:
        basis = Basis.CATALOG if open_rule is None else Basis(open_rule.basis)
    if open_rule is not None:
        if (open_rule.effective_from, open_rule.margin, open_rule.basis) == (effective_from, margin, basis):
            return open_rule
        if open_rule.effective_from >= effective_from:
            raise Conflict(
                f"{scope} already has a margin rule from {open_rule.effective_from}; a rule starts later",
                field="effective_from",
            )
        open_rule.effective_to = effective_from
        open_rule.save(update_fields=["effective_to"])
    rule = MarginRule.objects.create(
        **scope.columns, margin=margin, basis=basis.value, effective_from=effective_from, created_by=actor
    )
    data = {
        "scope": str(scope),
        "margin": decimal_text(margin),
        "basis": basis.value,
        "before": None if open_rule is None else decimal_text(open_rule.margin),
        "basis_before": None if open_rule is None else open_rule.basis,
    }
    record_audit(actor=actor, action="set_margin", subject=rule, data=data)
    return rule


def _require_scope(scope: _Scope) -> None:
    if sum(map(bool, (scope.provider, scope.family, scope.model))) > 1:
        raise InvalidInput("family: a rule is about one provider, family or model", field="family")
    if scope.family and not (_FAMILY.fullmatch(scope.family) and len(scope.family) <= 200):
        raise InvalidInput(
            "family: how the ids of its models begin, such as anthropic/claude-, 200 characters at most", field="family"
        )
