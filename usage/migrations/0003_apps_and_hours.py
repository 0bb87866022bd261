"""Apps as a dimension of the sums, every kind of token in them, and the same sums by hour; rebuilt from the events."""

import django.db.models.deletion
from django.db import migrations, models

APPS = """
WITH seen AS (
    SELECT customer_id, app_referer AS referer, app_title AS title,
           row_number() OVER (PARTITION BY customer_id ORDER BY min(seq)) AS place
    FROM usage_event WHERE app_referer <> '' OR app_title <> ''
    GROUP BY customer_id, app_referer, app_title
)
INSERT INTO usage_usageapp (customer_id, referer, title)
SELECT customer_id, referer, title FROM seen WHERE place <= 1000
UNION
SELECT customer_id, '', '(others)' FROM seen WHERE place > 1000
"""

EFFECTIVE = """
CREATE TEMPORARY TABLE effective_event ON COMMIT DROP AS
SELECT event.customer_id, event.billing_month, (event.occurred_at AT TIME ZONE 'Asia/Seoul')::date AS day,
       date_trunc('hour', event.occurred_at, 'UTC') AS hour_at, event.api_key_id,
       coalesce(held.model_id, event.model_id) AS model_id, coalesce(held.price_id, event.price_id) AS price_id,
       CASE WHEN event.app_title = '' AND event.app_referer = '' THEN 0 ELSE coalesce(app.id, rest.id) END AS app_id,
       count(*) AS requests, {counts},
       sum(coalesce(held.cost_usd, event.cost_usd)) AS cost_usd,
       sum(coalesce(event.upstream_cost_usd, 0)) AS upstream_cost_usd
FROM usage_event AS event
LEFT JOIN usage_quarantinedevent AS held
  ON event.price_id IS NULL AND held.customer_id = event.customer_id AND held.event_id = event.event_id
 AND held.status = 'rated'
LEFT JOIN usage_usageapp AS app
  ON app.customer_id = event.customer_id AND app.referer = event.app_referer AND app.title = event.app_title
LEFT JOIN usage_usageapp AS rest
  ON rest.customer_id = event.customer_id AND rest.referer = '' AND rest.title = '(others)'
WHERE event.price_id IS NOT NULL OR held.id IS NOT NULL
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
"""

REBUILD = """
INSERT INTO {table} ({key}, requests, {counts}, cost_usd, upstream_cost_usd)
SELECT {key}, sum(requests), {summed}, sum(cost_usd), sum(upstream_cost_usd)
FROM effective_event GROUP BY {key}
"""

COUNTS = (
    "prompt_tokens", "completion_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens",
    "reasoning_tokens", "audio_input_tokens", "audio_output_tokens", "image_output_tokens", "images", "web_searches",
)  # fmt: skip


def rebuild(table: str, key: str) -> str:
    return REBUILD.format(
        table=table, key=key, counts=", ".join(COUNTS), summed=", ".join(f"sum({name})" for name in COUNTS)
    )


REBUILT = (
    APPS,
    EFFECTIVE.format(counts=", ".join(f"sum(event.{name}) AS {name}" for name in COUNTS)),
    "DELETE FROM usage_usagerollup",
    rebuild("usage_usagerollup", "customer_id, billing_month, day, api_key_id, model_id, price_id, app_id"),
    rebuild("usage_usagehour", "customer_id, hour_at, billing_month, api_key_id, model_id, app_id"),
)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_contract_rate_is_there_under_the_fixed_rule"),
        ("usage", "0002_event_tables"),
    ]

    operations = [
        migrations.CreateModel(
            name="UsageApp",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("referer", models.TextField(blank=True, verbose_name="referer")),
                ("title", models.TextField(blank=True, verbose_name="app")),
            ],
            options={
                "verbose_name": "app",
                "verbose_name_plural": "apps",
            },
        ),
        migrations.CreateModel(
            name="UsageHour",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("requests", models.BigIntegerField(default=0)),
                ("prompt_tokens", models.BigIntegerField(default=0)),
                ("completion_tokens", models.BigIntegerField(default=0)),
                ("cache_read_tokens", models.BigIntegerField(default=0)),
                ("cache_write_tokens", models.BigIntegerField(default=0)),
                ("cache_write_1h_tokens", models.BigIntegerField(default=0)),
                ("reasoning_tokens", models.BigIntegerField(default=0)),
                ("audio_input_tokens", models.BigIntegerField(default=0)),
                ("audio_output_tokens", models.BigIntegerField(default=0)),
                ("image_output_tokens", models.BigIntegerField(default=0)),
                ("images", models.BigIntegerField(default=0)),
                ("web_searches", models.BigIntegerField(default=0)),
                ("cost_usd", models.DecimalField(decimal_places=28, default=0, max_digits=48)),
                ("upstream_cost_usd", models.DecimalField(decimal_places=28, default=0, max_digits=48)),
                ("hour_at", models.DateTimeField(verbose_name="hour")),
                ("billing_month", models.DateField(verbose_name="billed in")),
                ("api_key_id", models.BigIntegerField(null=True)),
                ("model_id", models.BigIntegerField()),
                ("app_id", models.BigIntegerField(default=0)),
            ],
            options={
                "verbose_name": "usage by hour",
                "verbose_name_plural": "usage by hour",
            },
        ),
        migrations.RemoveConstraint(
            model_name="usagerollup",
            name="usage_rollup_is_one_per_day_key_model_and_price",
        ),
        migrations.AddField(
            model_name="usagerollup",
            name="app_id",
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="usagerollup",
            name="audio_input_tokens",
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="usagerollup",
            name="audio_output_tokens",
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="usagerollup",
            name="cache_write_1h_tokens",
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="usagerollup",
            name="image_output_tokens",
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="usagerollup",
            name="images",
            field=models.BigIntegerField(default=0),
        ),
        migrations.AlterField(
            model_name="usagerollup",
            name="customer",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="accounts.customer",
                verbose_name="customer",
            ),
        ),
        migrations.AddIndex(
            model_name="usagerollup",
            index=models.Index(fields=["customer", "day"], name="usage_rollup_by_day"),
        ),
        migrations.AddConstraint(
            model_name="usagerollup",
            constraint=models.UniqueConstraint(
                fields=("customer", "billing_month", "day", "api_key_id", "model_id", "price_id", "app_id"),
                name="usage_rollup_is_one_per_day_key_model_price_and_app",
                nulls_distinct=False,
            ),
        ),
        migrations.AddField(
            model_name="usageapp",
            name="customer",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="accounts.customer",
                verbose_name="customer",
            ),
        ),
        migrations.AddField(
            model_name="usagehour",
            name="customer",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="accounts.customer",
                verbose_name="customer",
            ),
        ),
        migrations.AddConstraint(
            model_name="usageapp",
            constraint=models.UniqueConstraint(
                fields=("customer", "referer", "title"), name="usage_app_is_one_per_customer"
            ),
        ),
        migrations.AddConstraint(
            model_name="usagehour",
            constraint=models.UniqueConstraint(
                fields=("customer", "hour_at", "billing_month", "api_key_id", "model_id", "app_id"),
                name="usage_hour_is_one_per_key_model_and_app",
                nulls_distinct=False,
            ),
        ),
        *(migrations.RunSQL(sql, migrations.RunSQL.noop) for sql in REBUILT),
    ]
