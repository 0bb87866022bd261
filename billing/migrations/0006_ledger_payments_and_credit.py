"""Payments, prepayments, promotional credit and the rows that say what became of them."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_contract_rate_is_there_under_the_fixed_rule"),
        ("billing", "0005_statement_chain"),
        ("usage", "0002_event_tables"),
    ]

    operations = [
        migrations.CreateModel(
            name="Allocation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "source",
                    models.CharField(
                        choices=[("payment", "payment"), ("prepayment", "prepayment"), ("write_off", "write-off")],
                        max_length=12,
                        verbose_name="settled by",
                    ),
                ),
                ("amount_krw", models.BigIntegerField(verbose_name="amount (KRW)")),
                ("allocated_at", models.DateTimeField(verbose_name="allocated")),
                ("reason", models.CharField(blank=True, max_length=300, verbose_name="reason")),
                ("actor", models.CharField(max_length=200, verbose_name="by")),
            ],
            options={
                "verbose_name": "allocation",
                "verbose_name_plural": "allocations",
                "ordering": ["-allocated_at", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="AllocationReversal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reason", models.CharField(max_length=300, verbose_name="reason")),
                ("actor", models.CharField(max_length=200, verbose_name="by")),
                ("reversed_at", models.DateTimeField(verbose_name="reversed")),
            ],
            options={
                "verbose_name": "allocation reversal",
                "verbose_name_plural": "allocation reversals",
                "ordering": ["-reversed_at", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="Payment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reference", models.CharField(max_length=100, unique=True, verbose_name="bank reference")),
                ("received_at", models.DateTimeField(verbose_name="received")),
                ("amount_krw", models.BigIntegerField(verbose_name="amount (KRW)")),
                ("depositor_name", models.CharField(blank=True, max_length=100, verbose_name="depositor")),
                ("allocated_krw", models.BigIntegerField(default=0, editable=False, verbose_name="allocated (KRW)")),
                (
                    "prepaid_krw",
                    models.BigIntegerField(default=0, editable=False, verbose_name="set aside as prepayment (KRW)"),
                ),
                ("refunded_krw", models.BigIntegerField(default=0, editable=False, verbose_name="refunded (KRW)")),
                ("is_reversed", models.BooleanField(default=False, editable=False, verbose_name="reversed")),
                ("actor", models.CharField(max_length=200, verbose_name="by")),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="recorded"),
                ),
            ],
            options={
                "verbose_name": "payment",
                "verbose_name_plural": "payments",
                "ordering": ["-received_at", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="PaymentReversal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reason", models.CharField(max_length=300, verbose_name="reason")),
                ("actor", models.CharField(max_length=200, verbose_name="by")),
                ("reversed_at", models.DateTimeField(verbose_name="reversed")),
            ],
            options={
                "verbose_name": "payment reversal",
                "verbose_name_plural": "payment reversals",
                "ordering": ["-reversed_at", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="Prepayment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("amount_krw", models.BigIntegerField(verbose_name="amount (KRW)")),
                ("consumed_krw", models.BigIntegerField(default=0, editable=False, verbose_name="consumed (KRW)")),
                ("refunded_krw", models.BigIntegerField(default=0, editable=False, verbose_name="refunded (KRW)")),
                ("withdrawn_krw", models.BigIntegerField(default=0, editable=False, verbose_name="withdrawn (KRW)")),
                ("actor", models.CharField(max_length=200, verbose_name="by")),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="recorded"),
                ),
            ],
            options={
                "verbose_name": "prepayment",
                "verbose_name_plural": "prepayments",
                "ordering": ["-created_at", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="PrepaymentWithdrawal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("amount_krw", models.BigIntegerField(verbose_name="amount (KRW)")),
                ("reason", models.CharField(max_length=300, verbose_name="reason")),
                ("actor", models.CharField(max_length=200, verbose_name="by")),
                ("withdrawn_at", models.DateTimeField(verbose_name="withdrawn")),
            ],
            options={
                "verbose_name": "prepayment withdrawal",
                "verbose_name_plural": "prepayment withdrawals",
                "ordering": ["-withdrawn_at", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="PromotionalCredit",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100, verbose_name="name on the invoice")),
                ("amount_krw", models.BigIntegerField(verbose_name="amount (KRW of supply)")),
                ("priority", models.PositiveSmallIntegerField(default=0, verbose_name="priority")),
                ("valid_from", models.DateField(verbose_name="valid from")),
                ("expires_on", models.DateField(verbose_name="last valid day")),
                (
                    "models_covered",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=200),
                        blank=True,
                        null=True,
                        size=None,
                        verbose_name="models",
                    ),
                ),
                ("used_krw", models.BigIntegerField(default=0, editable=False, verbose_name="used (KRW)")),
                ("expired_krw", models.BigIntegerField(default=0, editable=False, verbose_name="expired (KRW)")),
                ("voided_krw", models.BigIntegerField(default=0, editable=False, verbose_name="voided (KRW)")),
                ("reason", models.CharField(max_length=300, verbose_name="reason")),
                ("actor", models.CharField(max_length=200, verbose_name="by")),
                (
                    "granted_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="granted"),
                ),
            ],
            options={
                "verbose_name": "promotional credit",
                "verbose_name_plural": "promotional credits",
                "ordering": ["-granted_at", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="PromotionalCreditMove",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("used", "used"),
                            ("returned", "returned"),
                            ("expired", "expired"),
                            ("voided", "voided"),
                        ],
                        max_length=8,
                        verbose_name="kind",
                    ),
                ),
                ("amount_krw", models.BigIntegerField(verbose_name="amount (KRW)")),
                ("reason", models.CharField(blank=True, max_length=300, verbose_name="reason")),
                ("actor", models.CharField(max_length=200, verbose_name="by")),
                ("moved_at", models.DateTimeField(verbose_name="at")),
            ],
            options={
                "verbose_name": "promotional credit move",
                "verbose_name_plural": "promotional credit moves",
                "ordering": ["-moved_at", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="Refund",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reference", models.CharField(max_length=100, unique=True, verbose_name="bank reference")),
                ("amount_krw", models.BigIntegerField(verbose_name="amount (KRW)")),
                ("refunded_at", models.DateTimeField(verbose_name="refunded")),
                ("reason", models.CharField(max_length=300, verbose_name="reason")),
                ("actor", models.CharField(max_length=200, verbose_name="by")),
            ],
            options={
                "verbose_name": "refund",
                "verbose_name_plural": "refunds",
                "ordering": ["-refunded_at", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="TopUpRequest",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "status",
                    models.CharField(
                        choices=[("open", "open"), ("answered", "answered")],
                        default="open",
                        max_length=8,
                        verbose_name="status",
                    ),
                ),
                ("amount_krw", models.BigIntegerField(blank=True, null=True, verbose_name="deposit asked for (KRW)")),
                ("deposit_code", models.CharField(max_length=10, unique=True, verbose_name="deposit code")),
                ("document", models.JSONField(verbose_name="document")),
                ("requested_at", models.DateTimeField(verbose_name="requested")),
                ("answered_at", models.DateTimeField(blank=True, null=True, verbose_name="answered")),
            ],
            options={
                "verbose_name": "top-up request",
                "verbose_name_plural": "top-up requests",
                "ordering": ["-requested_at", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="TopUpSetting",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("threshold_krw", models.BigIntegerField(verbose_name="low below (KRW)")),
                ("amount_krw", models.BigIntegerField(blank=True, null=True, verbose_name="deposit to ask for (KRW)")),
                ("actor", models.CharField(max_length=200, verbose_name="by")),
                ("updated_at", models.DateTimeField(verbose_name="changed")),
            ],
            options={
                "verbose_name": "top-up setting",
                "verbose_name_plural": "top-up settings",
                "ordering": ["customer"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="invoiceline",
            name="invoice_line_amounts_are_not_negative",
        ),
        migrations.AddField(
            model_name="invoice",
            name="allocated_krw",
            field=models.BigIntegerField(db_default=0, default=0, editable=False, verbose_name="settled (KRW)"),
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="promotion_krw",
            field=models.BigIntegerField(db_default=0, default=0, verbose_name="of this promotional (KRW)"),
        ),
        migrations.AddField(
            model_name="ledgertransaction",
            name="actor",
            field=models.CharField(blank=True, max_length=200, verbose_name="by"),
        ),
        migrations.AddField(
            model_name="ledgertransaction",
            name="reverses",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="reversed_by",
                to="billing.ledgertransaction",
                verbose_name="reverses",
            ),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="invoice",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="deliveries",
                to="billing.invoice",
                verbose_name="invoice",
            ),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="kind",
            field=models.CharField(
                choices=[
                    ("invoice_email", "invoice e-mail"),
                    ("tax_invoice", "tax invoice"),
                    ("top_up_email", "top-up e-mail"),
                ],
                max_length=16,
                verbose_name="kind",
            ),
        ),
        migrations.AlterField(
            model_name="invoiceline",
            name="kind",
            field=models.CharField(
                choices=[("usage", "usage"), ("supplementary", "supplementary"), ("promotion", "promotion")],
                max_length=14,
                verbose_name="kind",
            ),
        ),
        migrations.AlterField(
            model_name="invoiceline",
            name="model_id",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AlterField(
            model_name="ledgerentry",
            name="account",
            field=models.CharField(
                choices=[
                    ("receivable", "accounts receivable"),
                    ("revenue", "revenue"),
                    ("promotions", "promotional credit given"),
                    ("vat_payable", "VAT payable"),
                    ("prepayments", "prepayments"),
                    ("unapplied", "unapplied payments"),
                    ("bank", "bank"),
                    ("write_offs", "write-offs"),
                    ("cost_of_sales", "cost of sales"),
                    ("upstream_payable", "owed to upstreams"),
                    ("exchange_difference", "exchange difference"),
                ],
                max_length=20,
                verbose_name="account",
            ),
        ),
        migrations.AlterField(
            model_name="ledgerentry",
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
        migrations.AlterField(
            model_name="ledgertransaction",
            name="kind",
            field=models.CharField(
                choices=[
                    ("invoice_issued", "invoice issued"),
                    ("payment_received", "payment received"),
                    ("payment_assigned", "payment assigned"),
                    ("payment_allocated", "payment allocated"),
                    ("prepayment_received", "prepayment received"),
                    ("prepayment_applied", "prepayment applied"),
                    ("prepayment_withdrawn", "prepayment withdrawn"),
                    ("refunded", "refunded"),
                    ("written_off", "written off"),
                    ("cost_accrued", "upstream cost accrued"),
                    ("upstream_paid", "upstream paid"),
                    ("reversal", "reversal"),
                ],
                max_length=20,
                verbose_name="kind",
            ),
        ),
        migrations.AddIndex(
            model_name="ledgertransaction",
            index=models.Index(fields=["occurred_on", "id"], name="ledger_by_day"),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("allocated_krw__gte", 0),
                    ("total_krw__gte", models.F("allocated_krw")),
                    models.Q(
                        ("status", "draft"),
                        models.Q(("allocated_krw", 0), ("status", "void")),
                        models.Q(("status", "issued"), ("total_krw__gt", models.F("allocated_krw"))),
                        models.Q(("status", "paid"), ("total_krw", models.F("allocated_krw"))),
                        _connector="OR",
                    ),
                ),
                name="invoice_is_paid_exactly_when_settled",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgertransaction",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "reversal"), ("reverses__isnull", False)),
                    models.Q(models.Q(("kind", "reversal"), _negated=True), ("reverses__isnull", True)),
                    _connector="OR",
                ),
                name="ledger_reversal_names_what_it_reverses",
            ),
        ),
        migrations.AddField(
            model_name="allocation",
            name="invoice",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="allocations",
                to="billing.invoice",
                verbose_name="invoice",
            ),
        ),
        migrations.AddField(
            model_name="allocation",
            name="ledger_transaction",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="billing.ledgertransaction",
                verbose_name="ledger transaction",
            ),
        ),
        migrations.AddField(
            model_name="allocationreversal",
            name="allocation",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="reversal",
                to="billing.allocation",
                verbose_name="allocation",
            ),
        ),
        migrations.AddField(
            model_name="allocationreversal",
            name="ledger_transaction",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="billing.ledgertransaction",
                verbose_name="ledger transaction",
            ),
        ),
        migrations.AddField(
            model_name="payment",
            name="customer",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="payments",
                to="accounts.customer",
                verbose_name="customer",
            ),
        ),
        migrations.AddField(
            model_name="payment",
            name="ledger_transaction",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="payment",
                to="billing.ledgertransaction",
                verbose_name="ledger transaction",
            ),
        ),
        migrations.AddField(
            model_name="allocation",
            name="payment",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="allocations",
                to="billing.payment",
                verbose_name="payment",
            ),
        ),
        migrations.AddField(
            model_name="paymentreversal",
            name="ledger_transaction",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="billing.ledgertransaction",
                verbose_name="ledger transaction",
            ),
        ),
        migrations.AddField(
            model_name="paymentreversal",
            name="payment",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="reversal",
                to="billing.payment",
                verbose_name="payment",
            ),
        ),
        migrations.AddField(
            model_name="prepayment",
            name="customer",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="prepayments",
                to="accounts.customer",
                verbose_name="customer",
            ),
        ),
        migrations.AddField(
            model_name="prepayment",
            name="ledger_transaction",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="billing.ledgertransaction",
                verbose_name="ledger transaction",
            ),
        ),
        migrations.AddField(
            model_name="prepayment",
            name="payment",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="prepayments",
                to="billing.payment",
                verbose_name="payment",
            ),
        ),
        migrations.AddField(
            model_name="allocation",
            name="prepayment",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="allocations",
                to="billing.prepayment",
                verbose_name="prepayment",
            ),
        ),
        migrations.AddField(
            model_name="prepaymentwithdrawal",
            name="ledger_transaction",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="billing.ledgertransaction",
                verbose_name="ledger transaction",
            ),
        ),
        migrations.AddField(
            model_name="prepaymentwithdrawal",
            name="prepayment",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="withdrawals",
                to="billing.prepayment",
                verbose_name="prepayment",
            ),
        ),
        migrations.AddField(
            model_name="promotionalcredit",
            name="customer",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="promotional_credits",
                to="accounts.customer",
                verbose_name="customer",
            ),
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="promotional_credit",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="invoice_lines",
                to="billing.promotionalcredit",
                verbose_name="promotional credit",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoiceline",
            constraint=models.UniqueConstraint(
                fields=("invoice", "promotional_credit"), name="invoice_line_is_one_per_promotional_credit"
            ),
        ),
        migrations.AddConstraint(
            model_name="invoiceline",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("amount_krw__lt", 0),
                        ("cost_usd", 0),
                        ("kind", "promotion"),
                        ("model_id__isnull", True),
                        ("promotion_krw", 0),
                        ("promotional_credit__isnull", False),
                    ),
                    models.Q(
                        models.Q(("kind", "promotion"), _negated=True),
                        ("amount_krw__gte", models.F("promotion_krw")),
                        ("cost_usd__gte", 0),
                        ("model_id__isnull", False),
                        ("promotion_krw__gte", 0),
                        ("promotional_credit__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="invoice_line_is_negative_exactly_for_a_promotion",
            ),
        ),
        migrations.AddField(
            model_name="promotionalcreditmove",
            name="credit",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="moves",
                to="billing.promotionalcredit",
                verbose_name="promotional credit",
            ),
        ),
        migrations.AddField(
            model_name="promotionalcreditmove",
            name="invoice",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="promotional_credit_moves",
                to="billing.invoice",
                verbose_name="invoice",
            ),
        ),
        migrations.AddField(
            model_name="refund",
            name="ledger_transaction",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="billing.ledgertransaction",
                verbose_name="ledger transaction",
            ),
        ),
        migrations.AddField(
            model_name="refund",
            name="payment",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="refunds",
                to="billing.payment",
                verbose_name="payment",
            ),
        ),
        migrations.AddField(
            model_name="refund",
            name="prepayment",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="refunds",
                to="billing.prepayment",
                verbose_name="prepayment",
            ),
        ),
        migrations.AddField(
            model_name="topuprequest",
            name="customer",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="top_up_requests",
                to="accounts.customer",
                verbose_name="customer",
            ),
        ),
        migrations.AddField(
            model_name="delivery",
            name="top_up_request",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="deliveries",
                to="billing.topuprequest",
                verbose_name="top-up request",
            ),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.UniqueConstraint(
                fields=("top_up_request", "recipient"), name="delivery_is_one_per_top_up_request_and_recipient"
            ),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("invoice__isnull", True), ("kind", "top_up_email"), ("top_up_request__isnull", False)),
                    models.Q(
                        models.Q(("kind", "top_up_email"), _negated=True),
                        ("invoice__isnull", False),
                        ("top_up_request__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="delivery_is_of_one_thing",
            ),
        ),
        migrations.AddField(
            model_name="topupsetting",
            name="customer",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="top_up_setting",
                to="accounts.customer",
                verbose_name="customer",
            ),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(fields=["customer", "received_at"], name="payment_by_customer"),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(condition=models.Q(("amount_krw__gt", 0)), name="payment_is_of_some_won"),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("allocated_krw__gte", 0),
                    (
                        "amount_krw__gte",
                        django.db.models.expressions.CombinedExpression(
                            django.db.models.expressions.CombinedExpression(
                                models.F("allocated_krw"), "+", models.F("prepaid_krw")
                            ),
                            "+",
                            models.F("refunded_krw"),
                        ),
                    ),
                    ("prepaid_krw__gte", 0),
                    ("refunded_krw__gte", 0),
                ),
                name="payment_is_used_at_most_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("customer__isnull", False), ("is_reversed", False)),
                    models.Q(("allocated_krw", 0), ("prepaid_krw", 0)),
                    _connector="OR",
                ),
                name="payment_pays_nothing_without_a_customer_or_once_reversed",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(("is_reversed", False), ("refunded_krw", 0), _connector="OR"),
                name="payment_is_reversed_or_refunded",
            ),
        ),
        migrations.AddIndex(
            model_name="prepayment",
            index=models.Index(fields=["customer", "created_at"], name="prepayment_by_customer"),
        ),
        migrations.AddConstraint(
            model_name="prepayment",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_krw__gt", 0)), name="prepayment_is_of_some_won"
            ),
        ),
        migrations.AddConstraint(
            model_name="prepayment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "amount_krw__gte",
                        django.db.models.expressions.CombinedExpression(
                            django.db.models.expressions.CombinedExpression(
                                models.F("consumed_krw"), "+", models.F("refunded_krw")
                            ),
                            "+",
                            models.F("withdrawn_krw"),
                        ),
                    ),
                    ("consumed_krw__gte", 0),
                    ("refunded_krw__gte", 0),
                    ("withdrawn_krw__gte", 0),
                ),
                name="prepayment_is_used_at_most_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="allocation",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_krw__gt", 0)), name="allocation_is_of_some_won"
            ),
        ),
        migrations.AddConstraint(
            model_name="allocation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("payment__isnull", False), ("prepayment__isnull", True), ("source", "payment")),
                    models.Q(("payment__isnull", True), ("prepayment__isnull", False), ("source", "prepayment")),
                    models.Q(("payment__isnull", True), ("prepayment__isnull", True), ("source", "write_off")),
                    _connector="OR",
                ),
                name="allocation_has_the_one_source_that_it_names",
            ),
        ),
        migrations.AddConstraint(
            model_name="prepaymentwithdrawal",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_krw__gt", 0)), name="withdrawal_is_of_some_won"
            ),
        ),
        migrations.AddIndex(
            model_name="promotionalcredit",
            index=models.Index(fields=["customer", "expires_on"], name="promotional_credit_by_customer"),
        ),
        migrations.AddConstraint(
            model_name="promotionalcredit",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_krw__gt", 0)), name="promotional_credit_is_of_some_won"
            ),
        ),
        migrations.AddConstraint(
            model_name="promotionalcredit",
            constraint=models.CheckConstraint(
                condition=models.Q(("expires_on__gte", models.F("valid_from"))),
                name="promotional_credit_ends_after_it_begins",
            ),
        ),
        migrations.AddConstraint(
            model_name="promotionalcredit",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "amount_krw__gte",
                        django.db.models.expressions.CombinedExpression(
                            django.db.models.expressions.CombinedExpression(
                                models.F("used_krw"), "+", models.F("expired_krw")
                            ),
                            "+",
                            models.F("voided_krw"),
                        ),
                    ),
                    ("expired_krw__gte", 0),
                    ("used_krw__gte", 0),
                    ("voided_krw__gte", 0),
                ),
                name="promotional_credit_is_used_at_most_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="promotionalcreditmove",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_krw__gt", 0)), name="promotional_credit_move_is_of_some_won"
            ),
        ),
        migrations.AddConstraint(
            model_name="promotionalcreditmove",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("invoice__isnull", False), ("kind__in", ["used", "returned"])),
                    models.Q(("invoice__isnull", True), ("kind__in", ["expired", "voided"])),
                    _connector="OR",
                ),
                name="promotional_credit_move_names_an_invoice_exactly_when_used",
            ),
        ),
        migrations.AddConstraint(
            model_name="promotionalcreditmove",
            constraint=models.UniqueConstraint(
                fields=("credit", "invoice", "kind"), name="promotional_credit_is_used_once_per_invoice"
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(condition=models.Q(("amount_krw__gt", 0)), name="refund_is_of_some_won"),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("payment__isnull", False), ("prepayment__isnull", True)),
                    models.Q(("payment__isnull", True), ("prepayment__isnull", False)),
                    _connector="OR",
                ),
                name="refund_is_of_one_source",
            ),
        ),
        migrations.AddConstraint(
            model_name="topuprequest",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status", "open")),
                fields=("customer",),
                name="top_up_request_is_one_open_per_customer",
            ),
        ),
        migrations.AddConstraint(
            model_name="topuprequest",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("answered_at__isnull", True), ("status", "open")),
                    models.Q(("answered_at__isnull", False), ("status", "answered")),
                    _connector="OR",
                ),
                name="top_up_request_is_dated_exactly_when_answered",
            ),
        ),
        migrations.AddConstraint(
            model_name="topupsetting",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("threshold_krw__gt", 0),
                    models.Q(("amount_krw__isnull", True), ("amount_krw__gt", 0), _connector="OR"),
                ),
                name="top_up_setting_is_of_some_won",
            ),
        ),
    ]
