"""Monthly minimums of a contract, and the line that makes up for what is short of one."""

import django.contrib.postgres.constraints
import django.contrib.postgres.fields.ranges
import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
from django.db import migrations, models

GUARDS = """
CREATE FUNCTION billing_monthlyminimum_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.effective_to IS NULL AND NEW.effective_to IS NOT NULL
       AND to_jsonb(NEW) - 'effective_to' = to_jsonb(OLD) - 'effective_to' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a monthly minimum is history: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER monthly_minimum_is_history BEFORE UPDATE OR DELETE ON billing_monthlyminimum
    FOR EACH ROW EXECUTE FUNCTION billing_monthlyminimum_guard();
SELECT jeongsan_never_truncate('billing_monthlyminimum');
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_key_limits"),
        ("billing", "0018_discounts"),
    ]

    operations = [
        migrations.CreateModel(
            name="MonthlyMinimum",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("amount_krw", models.BigIntegerField(verbose_name="won a month")),
                ("applies_without_usage", models.BooleanField(default=True, verbose_name="also without usage")),
                ("effective_from", models.DateField(verbose_name="from")),
                ("effective_to", models.DateField(blank=True, null=True, verbose_name="to")),
                ("reason", models.CharField(max_length=300, verbose_name="reason")),
                ("actor", models.CharField(max_length=200, verbose_name="by")),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="created"),
                ),
            ],
            options={
                "verbose_name": "monthly minimum",
                "verbose_name_plural": "monthly minimums",
                "ordering": ["customer", "-effective_from", "-pk"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="invoiceline",
            name="invoice_line_names_what_its_kind_needs",
        ),
        migrations.AlterField(
            model_name="invoiceline",
            name="kind",
            field=models.CharField(
                choices=[
                    ("usage", "usage"),
                    ("supplementary", "supplementary"),
                    ("discount", "discount"),
                    ("minimum", "shortfall of the monthly minimum"),
                    ("promotion", "promotion"),
                ],
                max_length=14,
                verbose_name="kind",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoiceline",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", "minimum")), fields=("invoice",), name="invoice_has_one_shortfall_at_most"
            ),
        ),
        migrations.AddConstraint(
            model_name="invoiceline",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("amount_krw__lt", 0),
                        ("discount__isnull", False),
                        ("kind", "discount"),
                        ("promotional_credit__isnull", True),
                    ),
                    models.Q(
                        ("amount_krw__gt", 0),
                        ("discount__isnull", True),
                        ("kind", "minimum"),
                        ("promotional_credit__isnull", True),
                    ),
                    models.Q(
                        ("amount_krw__lt", 0),
                        ("discount__isnull", True),
                        ("kind", "promotion"),
                        ("promotional_credit__isnull", False),
                    ),
                    models.Q(
                        (
                            "amount_krw__gte",
                            django.db.models.expressions.CombinedExpression(
                                models.F("promotion_krw"), "+", models.F("discount_krw")
                            ),
                        ),
                        ("discount__isnull", True),
                        ("kind__in", ["usage", "supplementary"]),
                        ("promotional_credit__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="invoice_line_names_what_its_kind_needs",
            ),
        ),
        migrations.AddField(
            model_name="monthlyminimum",
            name="customer",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="minimums",
                to="accounts.customer",
                verbose_name="customer",
            ),
        ),
        migrations.AddConstraint(
            model_name="monthlyminimum",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_krw__gt", 0), models.Q(("reason", ""), _negated=True)),
                name="monthly_minimum_is_of_some_won_with_a_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="monthlyminimum",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("effective_to__isnull", True), ("effective_to__gte", models.F("effective_from")), _connector="OR"
                ),
                name="monthly_minimum_ends_after_it_begins",
            ),
        ),
        migrations.AddConstraint(
            model_name="monthlyminimum",
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(
                expressions=[
                    ("customer_id", "="),
                    (
                        models.Func(
                            models.F("effective_from"),
                            models.F("effective_to"),
                            function="daterange",
                            output_field=django.contrib.postgres.fields.ranges.DateRangeField(),
                        ),
                        "&&",
                    ),
                ],
                name="monthly_minimums_of_a_customer_never_overlap",
            ),
        ),
        migrations.RunSQL(GUARDS),
    ]
