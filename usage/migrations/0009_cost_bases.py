"""What a contract may be priced on instead of our list cost, by day: what upstreams charged, and the greater of both."""

from django.db import migrations

import usage.models.fields

# What lies in files can't be counted here, and its sums alone don't say which event cost more.
ARCHIVES = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM usage_archived_sum) THEN
        RAISE EXCEPTION 'restore the archived months with the version that archived them, and archive them again after this';
    END IF;
END $$;
ALTER TABLE usage_archived_sum ADD COLUMN upstream_basis_usd numeric(48, 28) NOT NULL,
    ADD COLUMN higher_basis_usd numeric(48, 28) NOT NULL;
"""
# No sum that anybody follows changes, so nobody has to be told.
COUNT = """
ALTER TABLE usage_usagerollup DISABLE TRIGGER USER;
WITH counted AS (
    SELECT event.customer_id, event.billing_month, (event.occurred_at AT TIME ZONE 'Asia/Seoul')::date AS day,
           event.api_key_id, coalesce(held.model_id, event.model_id) AS model_id,
           coalesce(held.price_id, event.price_id) AS price_id,
           CASE WHEN event.app_title = '' AND event.app_referer = '' THEN 0 ELSE coalesce(app.id, rest.id, -1) END AS app_id,
           coalesce(event.upstream_cost_usd, held.cost_usd, event.cost_usd) AS upstream_basis_usd,
           greatest(coalesce(held.cost_usd, event.cost_usd), event.upstream_cost_usd) AS higher_basis_usd
    FROM usage_event AS event
    LEFT JOIN usage_quarantinedevent AS held
      ON event.price_id IS NULL AND held.customer_id = event.customer_id AND held.event_id = event.event_id
     AND held.status = 'rated'
    LEFT JOIN usage_usageapp AS app
      ON app.customer_id = event.customer_id AND app.referer = event.app_referer AND app.title = event.app_title
    LEFT JOIN usage_usageapp AS rest
      ON rest.customer_id = event.customer_id AND rest.referer = '' AND rest.title = '(others)'
    WHERE (event.price_id IS NOT NULL OR held.id IS NOT NULL)
      AND NOT EXISTS (SELECT FROM usage_withdrawnevent AS withdrawn
                      WHERE withdrawn.customer_id = event.customer_id AND withdrawn.event_id = event.event_id)
), found AS (
    SELECT customer_id, billing_month, day, api_key_id, model_id, price_id, app_id,
           sum(upstream_basis_usd) AS upstream_basis_usd, sum(higher_basis_usd) AS higher_basis_usd
    FROM counted GROUP BY 1, 2, 3, 4, 5, 6, 7
)
UPDATE usage_usagerollup AS kept
SET upstream_basis_usd = found.upstream_basis_usd, higher_basis_usd = found.higher_basis_usd
FROM found
WHERE kept.customer_id = found.customer_id AND kept.billing_month = found.billing_month AND kept.day = found.day
  AND kept.api_key_id IS NOT DISTINCT FROM found.api_key_id AND kept.model_id = found.model_id
  AND kept.price_id = found.price_id AND kept.app_id = found.app_id;
ALTER TABLE usage_usagerollup ENABLE TRIGGER USER;
"""


class Migration(migrations.Migration):
    dependencies = [("usage", "0008_archives")]

    operations = [
        *(
            migrations.AddField(
                model_name="usagerollup",
                name=name,
                field=usage.models.fields.exact_usd(default=0),
            )
            for name in ("upstream_basis_usd", "higher_basis_usd")
        ),
        migrations.RunSQL(ARCHIVES, migrations.RunSQL.noop),
        migrations.RunSQL(COUNT, migrations.RunSQL.noop),
    ]
