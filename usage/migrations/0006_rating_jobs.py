"""Pricing runs over quarantined events, and the order in which they go through them."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_key_limits"),
        ("usage", "0005_upstream_ids"),
    ]

    operations = [
        migrations.CreateModel(
            name="RatingJob",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "status",
                    models.CharField(
                        choices=[("running", "running"), ("done", "done"), ("failed", "failed")],
                        default="running",
                        max_length=8,
                        verbose_name="status",
                    ),
                ),
                ("total", models.BigIntegerField(verbose_name="events")),
                ("examined", models.BigIntegerField(default=0, verbose_name="examined")),
                ("rated", models.BigIntegerField(default=0, verbose_name="priced")),
                (
                    "cost_usd",
                    models.DecimalField(decimal_places=28, default=0, max_digits=48, verbose_name="cost (USD)"),
                ),
                ("after_customer_id", models.BigIntegerField(default=0)),
                ("after_held_id", models.BigIntegerField(default=0)),
                (
                    "catalog_version",
                    django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=None),
                ),
                ("actor", models.CharField(max_length=200, verbose_name="started by")),
                ("started_at", models.DateTimeField(verbose_name="started")),
                ("updated_at", models.DateTimeField(verbose_name="updated")),
                ("finished_at", models.DateTimeField(blank=True, null=True, verbose_name="finished")),
                ("error", models.CharField(blank=True, max_length=500, verbose_name="error")),
            ],
            options={
                "verbose_name": "pricing run",
                "verbose_name_plural": "pricing runs",
                "ordering": ["-pk"],
            },
        ),
        migrations.AddIndex(
            model_name="quarantinedevent",
            index=models.Index(
                condition=models.Q(("status", "open")), fields=["customer", "id"], name="quarantine_open_in_order"
            ),
        ),
        migrations.AddField(
            model_name="ratingjob",
            name="customer",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.customer",
                verbose_name="customer",
            ),
        ),
        migrations.AddConstraint(
            model_name="ratingjob",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status", "running")),
                fields=("customer",),
                name="one_rating_job_runs_for_the_same_events",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            model_name="ratingjob",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("finished_at__isnull", True), ("status", "running")),
                    models.Q(models.Q(("status", "running"), _negated=True), ("finished_at__isnull", False)),
                    _connector="OR",
                ),
                name="rating_job_is_finished_exactly_when_dated",
            ),
        ),
    ]
