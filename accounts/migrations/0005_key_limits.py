"""Limits that a key has at the gateway."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_contract_rate_is_there_under_the_fixed_rule"),
    ]

    operations = [
        migrations.AddField(
            model_name="apikey",
            name="allowed_ips",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=43), blank=True, null=True, size=None, verbose_name="networks"
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="concurrency_limit",
            field=models.PositiveIntegerField(blank=True, null=True, verbose_name="calls at a time"),
        ),
        migrations.AddField(
            model_name="apikey",
            name="monthly_limit_usd",
            field=models.DecimalField(
                blank=True, decimal_places=6, max_digits=20, null=True, verbose_name="USD per month"
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="rpm_limit",
            field=models.PositiveIntegerField(blank=True, null=True, verbose_name="requests per minute"),
        ),
        migrations.AddField(
            model_name="apikey",
            name="tpm_limit",
            field=models.PositiveBigIntegerField(blank=True, null=True, verbose_name="tokens per minute"),
        ),
    ]
