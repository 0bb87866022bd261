"""What customers may still spend. The rollups themselves add to it whatever door usage comes in by."""

import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.comparison
from django.db import migrations, models

# One statement of a writer touches the rows of many customers: their accounts are locked in one order for everybody.
# What a closed month holds stands on an invoice and is owed there.
UNBILLED = """
CREATE FUNCTION billing_add_unbilled(customers bigint[], months date[], costs numeric[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM billing_spendingaccount WHERE customer_id = ANY (customers) ORDER BY customer_id FOR NO KEY UPDATE;
    UPDATE billing_spendingaccount AS account SET unbilled_usd = account.unbilled_usd + changed.cost
    FROM (SELECT part.customer_id, sum(part.cost) AS cost
          FROM unnest(customers, months, costs) AS part (customer_id, month, cost)
          WHERE NOT EXISTS (SELECT FROM usage_billingperiod AS period WHERE period.customer_id = part.customer_id
                            AND period.month = part.month AND period.status = 'closed')
          GROUP BY part.customer_id) AS changed
    WHERE account.customer_id = changed.customer_id AND changed.cost <> 0;
END $$;

CREATE FUNCTION billing_count_unbilled() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    customers bigint[];
    months date[];
    costs numeric[];
BEGIN
    IF TG_OP <> 'DELETE' THEN
        SELECT array_agg(customer_id), array_agg(billing_month), array_agg(cost_usd) INTO customers, months, costs
        FROM new_rows;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        SELECT customers || array_agg(customer_id), months || array_agg(billing_month), costs || array_agg(-cost_usd)
        INTO customers, months, costs FROM old_rows;
    END IF;
    IF customers IS NOT NULL THEN
        PERFORM billing_add_unbilled(customers, months, costs);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER unbilled_follows_inserts AFTER INSERT ON usage_usagerollup REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION billing_count_unbilled();
CREATE TRIGGER unbilled_follows_updates AFTER UPDATE ON usage_usagerollup
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION billing_count_unbilled();
CREATE TRIGGER unbilled_follows_deletes AFTER DELETE ON usage_usagerollup REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION billing_count_unbilled();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_key_limits"),
        ("billing", "0007_money_guards"),
        ("usage", "0003_apps_and_hours"),
    ]

    operations = [
        migrations.CreateModel(
            name="SpendingAccount",
            fields=[
                (
                    "customer",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="spending",
                        serialize=False,
                        to="accounts.customer",
                        verbose_name="customer",
                    ),
                ),
                ("credit_limit_krw", models.BigIntegerField(blank=True, null=True, verbose_name="credit limit (KRW)")),
                ("is_prepaid", models.BooleanField(default=False, verbose_name="pays ahead")),
                ("prepaid_krw", models.BigIntegerField(default=0, verbose_name="prepaid (KRW)")),
                ("promotional_krw", models.BigIntegerField(default=0, verbose_name="promotional credit (KRW)")),
                ("receivable_krw", models.BigIntegerField(default=0, verbose_name="owed (KRW)")),
                (
                    "unbilled_usd",
                    models.DecimalField(
                        decimal_places=28, default=0, max_digits=48, verbose_name="not yet billed (USD)"
                    ),
                ),
                (
                    "factor_krw_per_usd",
                    models.DecimalField(
                        blank=True,
                        decimal_places=10,
                        max_digits=24,
                        null=True,
                        verbose_name="KRW per USD, with margin and VAT",
                    ),
                ),
                (
                    "unbilled_krw",
                    models.GeneratedField(
                        db_persist=True,
                        expression=django.db.models.expressions.CombinedExpression(
                            models.F("unbilled_usd"),
                            "*",
                            django.db.models.functions.comparison.Coalesce(
                                models.F("factor_krw_per_usd"), models.Value(0)
                            ),
                        ),
                        output_field=models.DecimalField(
                            decimal_places=38, max_digits=80, verbose_name="not yet billed (KRW)"
                        ),
                    ),
                ),
                ("held_krw", models.BigIntegerField(default=0, verbose_name="held for calls under way (KRW)")),
                ("refreshed_at", models.DateTimeField(blank=True, null=True, verbose_name="recounted")),
            ],
            options={
                "verbose_name": "spending account",
                "verbose_name_plural": "spending accounts",
                "ordering": ["customer"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("held_krw__gte", 0)), name="spending_holds_are_never_negative"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("prepaid_krw__gte", 0),
                            ("promotional_krw__gte", 0),
                            ("unbilled_usd__gte", 0),
                            models.Q(("credit_limit_krw__isnull", True), ("credit_limit_krw__gte", 0), _connector="OR"),
                        ),
                        name="spending_amounts_are_never_negative",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("factor_krw_per_usd__isnull", True), ("factor_krw_per_usd__gt", 0), _connector="OR"
                        ),
                        name="spending_factor_is_above_zero",
                    ),
                ],
            },
        ),
        migrations.RunSQL(UNBILLED),
    ]
