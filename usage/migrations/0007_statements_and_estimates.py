"""Upstreams' statements, which never change, and daily sums that were metered as estimates."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

GUARDS = """
SELECT jeongsan_append_only('usage_upstreamcharge');
SELECT jeongsan_append_only('usage_upstreamday');
CREATE FUNCTION usage_estimate_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.withdrawn_at IS NULL
       AND to_jsonb(NEW) - 'withdrawn_at' = to_jsonb(OLD) - 'withdrawn_at' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'an estimate is taken back once: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER estimate_is_taken_back_once BEFORE UPDATE OR DELETE ON usage_activityestimate
    FOR EACH ROW EXECUTE FUNCTION usage_estimate_guard();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_key_limits"),
        ("usage", "0006_rating_jobs"),
    ]

    operations = [
        migrations.CreateModel(
            name="UpstreamStatement",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[("generations", "by generation"), ("days", "by UTC day")],
                        max_length=12,
                        verbose_name="kind",
                    ),
                ),
                ("source", models.CharField(max_length=200, verbose_name="source")),
                ("first_at", models.DateTimeField(verbose_name="first")),
                ("last_at", models.DateTimeField(verbose_name="last")),
                ("rows", models.BigIntegerField(verbose_name="rows added")),
                (
                    "imported_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="imported"),
                ),
                ("imported_by", models.CharField(max_length=200, verbose_name="imported by")),
            ],
            options={
                "verbose_name": "upstream statement",
                "verbose_name_plural": "upstream statements",
                "ordering": ["-imported_at", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="UpstreamCharge",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("upstream_id", models.TextField(unique=True, verbose_name="upstream id")),
                ("charged_at", models.DateTimeField(db_index=True, verbose_name="charged")),
                ("model_name", models.TextField(verbose_name="model")),
                ("prompt_tokens", models.BigIntegerField(null=True, verbose_name="prompt tokens")),
                ("completion_tokens", models.BigIntegerField(null=True, verbose_name="completion tokens")),
                ("cost_usd", models.DecimalField(decimal_places=28, max_digits=48, verbose_name="charged (USD)")),
                (
                    "statement",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="charges",
                        to="usage.upstreamstatement",
                        verbose_name="statement",
                    ),
                ),
            ],
            options={
                "verbose_name": "upstream charge",
                "verbose_name_plural": "upstream charges",
            },
        ),
        migrations.CreateModel(
            name="ActivityEstimate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField(verbose_name="UTC day")),
                ("model_name", models.TextField(verbose_name="model")),
                ("permaslug", models.TextField(verbose_name="permanent name")),
                ("provider_name", models.TextField(blank=True, verbose_name="provider")),
                ("endpoint_id", models.TextField(blank=True, verbose_name="endpoint")),
                ("model_id", models.BigIntegerField(blank=True, null=True)),
                ("requests", models.BigIntegerField(verbose_name="requests")),
                ("prompt_tokens", models.BigIntegerField(verbose_name="prompt tokens")),
                ("completion_tokens", models.BigIntegerField(verbose_name="completion tokens")),
                ("reasoning_tokens", models.BigIntegerField(verbose_name="reasoning tokens")),
                ("cached_tokens", models.BigIntegerField(verbose_name="cached tokens")),
                ("charged_usd", models.DecimalField(decimal_places=28, max_digits=48, verbose_name="charged (USD)")),
                (
                    "event_ids",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(), size=None, verbose_name="events"
                    ),
                ),
                ("source", models.CharField(max_length=200, verbose_name="source")),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="created"),
                ),
                ("created_by", models.CharField(max_length=200, verbose_name="created by")),
                ("withdrawn_at", models.DateTimeField(blank=True, null=True, verbose_name="withdrawn")),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.customer",
                        verbose_name="customer",
                    ),
                ),
            ],
            options={
                "verbose_name": "activity estimate",
                "verbose_name_plural": "activity estimates",
                "ordering": ["-day", "customer", "permaslug"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("withdrawn_at__isnull", True)),
                        fields=["day"],
                        name="activity_estimate_counting",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("customer", "day", "permaslug", "provider_name", "endpoint_id"),
                        name="activity_row_is_estimated_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("event_ids", []), _negated=True), name="activity_estimate_has_events"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="UpstreamDay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField(verbose_name="UTC day")),
                ("model_name", models.TextField(verbose_name="model")),
                ("permaslug", models.TextField(verbose_name="permanent name")),
                ("provider_name", models.TextField(blank=True, verbose_name="provider")),
                ("endpoint_id", models.TextField(blank=True, verbose_name="endpoint")),
                ("requests", models.BigIntegerField(verbose_name="requests")),
                ("prompt_tokens", models.BigIntegerField(verbose_name="prompt tokens")),
                ("completion_tokens", models.BigIntegerField(verbose_name="completion tokens")),
                ("reasoning_tokens", models.BigIntegerField(verbose_name="reasoning tokens")),
                ("cached_tokens", models.BigIntegerField(verbose_name="cached tokens")),
                ("charged_usd", models.DecimalField(decimal_places=28, max_digits=48, verbose_name="charged (USD)")),
                (
                    "statement",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="days",
                        to="usage.upstreamstatement",
                        verbose_name="statement",
                    ),
                ),
            ],
            options={
                "verbose_name": "upstream day",
                "verbose_name_plural": "upstream days",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("day", "permaslug", "provider_name", "endpoint_id"), name="upstream_day_is_stated_once"
                    )
                ],
            },
        ),
        migrations.RunSQL(GUARDS),
    ]
