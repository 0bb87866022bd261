"""The meters that count against the limits of keys."""

from __future__ import annotations

from datetime import datetime

from django.db import connection, transaction

from gateway.models import KeyMeter
from usage.periods import BillingMonth

_RECOUNT = """
UPDATE gateway_keymeter AS meter SET month = %s, spent_usd = (
    SELECT coalesce(sum(cost_usd), 0) FROM usage_usagerollup AS rollup
    WHERE rollup.customer_id = api_key.customer_id AND rollup.api_key_id = api_key.id AND rollup.day >= %s)
FROM accounts_apikey AS api_key WHERE api_key.id = meter.api_key_id AND meter.api_key_id = %s AND meter.month <= %s
"""


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
