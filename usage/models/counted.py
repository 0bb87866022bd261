"""Which events count, and as what: the one SQL text that recounts and sums over raw events begin with."""

from __future__ import annotations

from usage.models.apps import OTHERS
from usage.models.rollups import SUMMED

_COUNTS = ", ".join(f"event.{name}" for name in SUMMED[1:-2])

#: Every priced event that was not taken back, at the price that was decided for it, in the app that it is counted under;
#: columns `occurred_at`, the keys of both tables of sums, `SUMMED` and `BASES`. Further conditions on `event` go behind it
#: with AND. An app that has no row and that no row "(others)" stands for gets -1, which no sum has.
COUNTED_EVENTS = f"""
SELECT event.customer_id, event.billing_month, event.occurred_at,
       (event.occurred_at AT TIME ZONE 'Asia/Seoul')::date AS day, date_trunc('hour', event.occurred_at, 'UTC') AS hour_at,
       event.api_key_id, coalesce(held.model_id, event.model_id) AS model_id,
       coalesce(held.price_id, event.price_id) AS price_id,
       CASE WHEN event.app_title = '' AND event.app_referer = '' THEN 0 ELSE coalesce(app.id, rest.id, -1) END AS app_id,
       1 AS requests, {_COUNTS},
       coalesce(held.cost_usd, event.cost_usd) AS cost_usd, coalesce(event.upstream_cost_usd, 0) AS upstream_cost_usd,
       coalesce(event.upstream_cost_usd, held.cost_usd, event.cost_usd) AS upstream_basis_usd,
       greatest(coalesce(held.cost_usd, event.cost_usd), event.upstream_cost_usd) AS higher_basis_usd
FROM usage_event AS event
LEFT JOIN usage_quarantinedevent AS held
  ON event.price_id IS NULL AND held.customer_id = event.customer_id AND held.event_id = event.event_id
 AND held.status = 'rated'
LEFT JOIN usage_usageapp AS app
  ON app.customer_id = event.customer_id AND app.referer = event.app_referer AND app.title = event.app_title
LEFT JOIN usage_usageapp AS rest
  ON rest.customer_id = event.customer_id AND rest.referer = '' AND rest.title = '{OTHERS}'
WHERE (event.price_id IS NOT NULL OR held.id IS NOT NULL)
  AND NOT EXISTS (SELECT FROM usage_withdrawnevent AS withdrawn
                  WHERE withdrawn.customer_id = event.customer_id AND withdrawn.event_id = event.event_id)
"""  # noqa: S608 - made of constants
