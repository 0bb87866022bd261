"""Whose an unknown deposit was; what upstreams cost in won; an alert for prepayments that run low."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

APPEND_ONLY = """
SELECT jeongsan_append_only('billing_paymentassignment');
SELECT jeongsan_append_only('billing_upstreamaccrual');
SELECT jeongsan_append_only('billing_upstreampayment');
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_key_limits"),
        ("billing", "0009_close_steps"),
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
                ],
                max_length=24,
                verbose_name="kind",
            ),
        ),
        migrations.CreateModel(
            name="PaymentAssignment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reason", models.CharField(max_length=300, verbose_name="reason")),
                ("actor", models.CharField(max_length=200, verbose_name="by")),
                ("assigned_at", models.DateTimeField(verbose_name="assigned")),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.customer",
                        verbose_name="customer",
                    ),
                ),
                (
                    "ledger_transaction",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.ledgertransaction",
                        verbose_name="ledger transaction",
                    ),
                ),
                (
                    "payment",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="assignment",
                        to="billing.payment",
                        verbose_name="payment",
                    ),
                ),
            ],
            options={
                "verbose_name": "payment assignment",
                "verbose_name_plural": "payment assignments",
                "ordering": ["-assigned_at", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="UpstreamAccrual",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("month", models.DateField(verbose_name="month")),
                ("cost_usd", models.DecimalField(decimal_places=6, max_digits=24, verbose_name="cost (USD)")),
                ("rate", models.DecimalField(decimal_places=4, max_digits=12, verbose_name="KRW per USD")),
                ("cost_krw", models.BigIntegerField(verbose_name="cost (KRW)")),
                ("actor", models.CharField(max_length=200, verbose_name="by")),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="created"),
                ),
                (
                    "ledger_transaction",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.ledgertransaction",
                        verbose_name="ledger transaction",
                    ),
                ),
            ],
            options={
                "verbose_name": "upstream accrual",
                "verbose_name_plural": "upstream accruals",
                "ordering": ["-month", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="UpstreamPayment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reference", models.CharField(max_length=100, unique=True, verbose_name="bank reference")),
                ("payee", models.CharField(max_length=100, verbose_name="paid to")),
                ("paid_at", models.DateTimeField(verbose_name="paid")),
                ("amount_usd", models.DecimalField(decimal_places=6, max_digits=24, verbose_name="amount (USD)")),
                ("amount_krw", models.BigIntegerField(verbose_name="won taken from the bank")),
                ("actor", models.CharField(max_length=200, verbose_name="by")),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="recorded"),
                ),
                (
                    "ledger_transaction",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.ledgertransaction",
                        verbose_name="ledger transaction",
                    ),
                ),
            ],
            options={
                "verbose_name": "upstream payment",
                "verbose_name_plural": "upstream payments",
                "ordering": ["-paid_at", "-pk"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("amount_krw__gt", 0), ("amount_usd__gt", 0)),
                        name="upstream_payment_is_of_some_money",
                    )
                ],
            },
        ),
        migrations.RunSQL(APPEND_ONLY),
    ]
