"""Deciding what a quarantined price means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from accounts.errors import InvalidInput
from accounts.services import record_audit
from catalog.errors import PriceNotQuarantined
from catalog.models import Price
from catalog.pricing import PriceError, PriceSheet
from catalog.services.locking import hold_catalog


@transaction.atomic
def resolve_quarantined_price(
    *, price: Price, components: Mapping[str, str], overrides: Sequence[Mapping[str, Any]], actor: str, reason: str
) -> Price:
    """Give a quarantined interval the price that an operator read out of it; nothing was ever charged at it before.

    `components` are decimal strings of USD per unit, `overrides` as in a listing. The upstream's own price object stays
    beside it, so the next sync of the same object leaves the decision alone. Raises InvalidInput naming the price key,
    PriceNotQuarantined when the price is not (or no longer) waiting.
    """
    if not reason.strip():
        raise InvalidInput("reason: say why this is the price", field="reason")
    try:
        PriceSheet.parse(components, overrides)
    except PriceError as error:
        raise InvalidInput(str(error), field=error.key, price_code=error.code) from None
    hold_catalog()
    locked = Price.objects.select_for_update().get(pk=price.pk)
    if locked.kind != Price.Kind.QUARANTINED:
        raise PriceNotQuarantined(f"price {locked.pk} is {locked.kind}, not quarantined", field="price")
    before = {"code": locked.quarantine_code, "reason": locked.quarantine_reason}
    locked.kind = Price.Kind.LISTED
    locked.components, locked.overrides = dict(components), [dict(override) for override in overrides]
    locked.quarantine_code = locked.quarantine_reason = ""
    locked.save(update_fields=["kind", "components", "overrides", "quarantine_code", "quarantine_reason"])
    record_audit(
        actor=actor,
        action="resolve_quarantined_price",
        subject=locked,
        reason=reason,
        data={"quarantine": before, "components": locked.components, "overrides": locked.overrides},
    )
    return locked
