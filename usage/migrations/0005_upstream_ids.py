"""The ids under which upstreams know our events; the first that takes one keeps it."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_key_limits"),
        ("usage", "0004_withdrawn_events"),
    ]

    operations = [
        migrations.CreateModel(
            name="UsageAlias",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "customer_id", "upstream_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("upstream_id", models.CharField(max_length=200, verbose_name="upstream's id")),
                ("event_id", models.CharField(max_length=200, verbose_name="event id")),
                (
                    "customer",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.customer",
                        verbose_name="customer",
                    ),
                ),
            ],
            options={
                "verbose_name": "upstream's id of an event",
                "verbose_name_plural": "upstream's ids of events",
                "db_table": "usage_event_alias",
                "indexes": [models.Index(fields=["customer", "event_id"], name="usage_alias_by_event")],
            },
        ),
        migrations.RunSQL("SELECT jeongsan_append_only('usage_event_alias')"),
    ]
