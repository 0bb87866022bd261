"""Limits of keys: what operators set, and the meters that count against them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from ipaddress import ip_network

from django.db import connection, transaction

from accounts.errors import InvalidInput
from accounts.models import ApiKey
from accounts.services import record_audit
from catalog.money import decimal_text
from gateway.models import KeyMeter
from usage.periods import BillingMonth

_MAX_COUNT = 2_000_000_000
_MAX_USD = Decimal(10**12)
_RECOUNT = """
UPDATE gateway_keymeter AS meter SET month = %s, spent_usd = (
    SELECT coalesce(sum(cost_usd), 0) FROM usage_usagerollup AS rollup
    WHERE rollup.customer_id = api_key.customer_id AND rollup.api_key_id = api_key.id AND rollup.day >= %s)
FROM accounts_apikey AS api_key WHERE api_key.id = meter.api_key_id AND meter.api_key_id = %s AND meter.month <= %s
"""


@transaction.atomic
def set_key_limits(
    *,
    key: ApiKey,
    rpm: int | None,
    tpm: int | None,
    concurrency: int | None,
    monthly_usd: Decimal | None,
    allowed_ips: list[str] | None,
    reason: str,
    actor: str,
) -> ApiKey:
    """The key's limits, all of them; None sets none. They hold for the next call of every gateway.

    `monthly_usd` is at list price, in a Korean month. `allowed_ips` are addresses or networks in CIDR notation.
    Raises InvalidInput naming the field.
    """
    for field, count in (("rpm", rpm), ("tpm", tpm), ("concurrency", concurrency)):
        if count is not None and not 0 <= count <= _MAX_COUNT:
            raise InvalidInput(f"{field}: 0 to {_MAX_COUNT:,}", field=field)
    if monthly_usd is not None and not (
        monthly_usd.is_finite() and 0 <= monthly_usd < _MAX_USD and monthly_usd == round(monthly_usd, 6)
    ):
        raise InvalidInput("monthly_usd: an amount with at most six decimals", field="monthly_usd")
    locked = ApiKey.objects.select_for_update().get(pk=key.pk)
    if locked.scope != ApiKey.Scope.CUSTOMER:
        raise InvalidInput("key: an ingest key makes no calls", field="key")
    before = _limits(locked)
    locked.rpm_limit, locked.tpm_limit, locked.concurrency_limit = rpm, tpm, concurrency
    locked.monthly_limit_usd, locked.allowed_ips = monthly_usd, _networks(allowed_ips)
    after = _limits(locked)
    if before != after:
        locked.save(update_fields=["rpm_limit", "tpm_limit", "concurrency_limit", "monthly_limit_usd", "allowed_ips"])
        data = {"before": before, "after": after}
        record_audit(actor=actor, action="set_key_limits", subject=locked, reason=reason, data=data)
    return locked


def recount_meters(*, now: datetime) -> int:
    """Count what keys with a meter have used this month anew, whatever door it came in by; returns how many keys.

    Each row is locked before it is counted: a settlement under way adds to the new count.
    """
    month = BillingMonth.of(now).first_on
    keys = list(KeyMeter.objects.order_by("pk").values_list("pk", flat=True))
    for pk in keys:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM gateway_keymeter WHERE api_key_id = %s FOR NO KEY UPDATE", [pk])
            cursor.execute(_RECOUNT, [month, month, pk, month])
    return len(keys)


def _networks(texts: list[str] | None) -> list[str] | None:
    if texts is None:
        return None
    try:
        return [str(ip_network(text.strip())) for text in texts if text.strip()]
    except ValueError as error:
        raise InvalidInput(f"allowed_ips: {error}", field="allowed_ips") from None


def _limits(key: ApiKey) -> dict[str, object]:
    return {
        "rpm": key.rpm_limit,
        "tpm": key.tpm_limit,
        "concurrency": key.concurrency_limit,
        "monthly_usd": None if key.monthly_limit_usd is None else decimal_text(key.monthly_limit_usd),
        "allowed_ips": key.allowed_ips,
    }
