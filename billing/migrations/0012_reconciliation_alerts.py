"""Alerts about upstreams' charges and estimates."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0011_spending_follows_the_books"),
    ]

    operations = [
        migrations.AlterField(
            model_name="alert",
            name="kind",
            field=models.CharField(
                choices=[
                    ("negative_margin", "sold below what it costs"),
                    ("catalog_sync_failed", "catalog sync failed"),
                    ("price_change_awaiting", "price change awaits approval"),
                    ("prepayment_low", "prepayment runs low"),
                    ("upstream_drift", "upstream charges drift from list prices"),
                    ("missing_here", "charged upstream and not metered"),
                    ("estimate_overlap", "invoiced estimate, and events came"),
                ],
                max_length=24,
                verbose_name="kind",
            ),
        ),
    ]
