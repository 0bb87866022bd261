"""Decisions that take a stored event back; like the events they are only ever added."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_contract_rate_is_there_under_the_fixed_rule"),
        ("usage", "0003_apps_and_hours"),
    ]

    operations = [
        migrations.CreateModel(
            name="WithdrawnEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("event_id", models.TextField(verbose_name="event id")),
                ("occurred_at", models.DateTimeField(verbose_name="occurred")),
                ("billing_month", models.DateField(verbose_name="billed in")),
                (
                    "cost_usd",
                    models.DecimalField(
                        blank=True, decimal_places=28, max_digits=48, null=True, verbose_name="cost (USD)"
                    ),
                ),
                ("replaced_by", models.TextField(blank=True, verbose_name="replaced by")),
                ("reason", models.CharField(max_length=500, verbose_name="reason")),
                ("withdrawn_by", models.CharField(max_length=200, verbose_name="withdrawn by")),
                (
                    "withdrawn_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="withdrawn"),
                ),
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
                "verbose_name": "withdrawn event",
                "verbose_name_plural": "withdrawn events",
                "ordering": ["-withdrawn_at"],
                "constraints": [
                    models.UniqueConstraint(fields=("customer", "event_id"), name="event_is_withdrawn_once"),
                    models.CheckConstraint(
                        condition=models.Q(("reason", ""), _negated=True), name="event_is_withdrawn_with_a_reason"
                    ),
                ],
            },
        ),
        migrations.RunSQL("SELECT jeongsan_append_only('usage_withdrawnevent')", migrations.RunSQL.noop),
    ]
