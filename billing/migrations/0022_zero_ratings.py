"""The evidence by which supplies carry no VAT, and invoices that name it."""

import django.contrib.postgres.constraints
import django.contrib.postgres.fields.ranges
import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
from django.db import migrations, models

GUARDS = """
CREATE FUNCTION billing_zerorating_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.effective_to IS NOT NULL
       AND (OLD.effective_to IS NULL OR NEW.effective_to < OLD.effective_to)
       AND to_jsonb(NEW) - 'effective_to' = to_jsonb(OLD) - 'effective_to' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'evidence of a zero rating is history: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER zero_rating_is_history BEFORE UPDATE OR DELETE ON billing_zerorating
    FOR EACH ROW EXECUTE FUNCTION billing_zerorating_guard();
SELECT jeongsan_never_truncate('billing_zerorating');

CREATE FUNCTION billing_zero_rating_is_in_force() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM billing_zerorating z WHERE z.id = NEW.zero_rating_id AND z.customer_id = NEW.customer_id
           AND z.effective_from <= NEW.month AND (z.effective_to IS NULL OR z.effective_to > NEW.month)) THEN
        RAISE EXCEPTION 'invoice %: no evidence of a zero rating is in force for it', NEW.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER zero_rating_is_in_force BEFORE INSERT OR UPDATE OF zero_rating_id ON billing_invoice
    FOR EACH ROW WHEN (NEW.zero_rating_id IS NOT NULL) EXECUTE FUNCTION billing_zero_rating_is_in_force();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0006_names_stay"),
        ("billing", "0021_correction_guards"),
        ("usage", "0011_store_events"),
    ]

    operations = [
        migrations.CreateModel(
            name="ZeroRating",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "article",
                    models.CharField(
                        choices=[
                            ("부가가치세법 제21조", "VAT Act art. 21 (exported goods)"),
                            ("부가가치세법 제22조", "VAT Act art. 22 (services supplied abroad)"),
                            ("부가가치세법 제23조", "VAT Act art. 23 (international transport)"),
                            ("부가가치세법 제24조", "VAT Act art. 24 (supplies that earn foreign exchange)"),
                            ("조세특례제한법 제105조", "Restriction of Special Taxation Act art. 105"),
                        ],
                        max_length=40,
                        verbose_name="article of the law",
                    ),
                ),
                ("clause", models.CharField(blank=True, max_length=100, verbose_name="clause")),
                ("reference", models.CharField(max_length=200, verbose_name="evidence")),
                ("sha256", models.CharField(max_length=64, verbose_name="SHA-256")),
                ("accepted_by", models.CharField(max_length=200, verbose_name="accepted by")),
                ("effective_from", models.DateField(verbose_name="from")),
                ("effective_to", models.DateField(blank=True, null=True, verbose_name="to")),
                ("reason", models.CharField(max_length=300, verbose_name="reason")),
                ("actor", models.CharField(max_length=200, verbose_name="by")),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="created"),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="zero_ratings",
                        to="accounts.customer",
                        verbose_name="customer",
                    ),
                ),
            ],
            options={
                "verbose_name": "zero rating",
                "verbose_name_plural": "zero ratings",
                "ordering": ["customer", "-effective_from", "-pk"],
            },
        ),
        migrations.AddField(
            model_name="invoice",
            name="zero_rating",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="invoices",
                to="billing.zerorating",
                verbose_name="zero rating",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("vat_krw", 0), ("zero_rating__isnull", False)),
                    models.Q(
                        (
                            "supply_krw__gt",
                            django.db.models.expressions.CombinedExpression(
                                django.db.models.expressions.CombinedExpression(
                                    models.F("vat_krw"), "*", models.Value(10)
                                ),
                                "-",
                                models.Value(10),
                            ),
                        ),
                        (
                            "supply_krw__lt",
                            django.db.models.expressions.CombinedExpression(
                                django.db.models.expressions.CombinedExpression(
                                    models.F("vat_krw"), "*", models.Value(10)
                                ),
                                "+",
                                models.Value(10),
                            ),
                        ),
                        ("zero_rating__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="invoice_vat_is_a_tenth_or_none_by_evidence",
            ),
        ),
        migrations.AddConstraint(
            model_name="zerorating",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("reference", ""), _negated=True),
                    models.Q(("accepted_by", ""), _negated=True),
                    models.Q(("reason", ""), _negated=True),
                    ("sha256__regex", "^[0-9a-f]{64}$"),
                ),
                name="zero_rating_has_its_evidence",
            ),
        ),
        migrations.AddConstraint(
            model_name="zerorating",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "article__in",
                        [
                            "부가가치세법 제21조",
                            "부가가치세법 제22조",
                            "부가가치세법 제23조",
                            "부가가치세법 제24조",
                            "조세특례제한법 제105조",
                        ],
                    )
                ),
                name="zero_rating_names_an_article_that_allows_it",
            ),
        ),
        migrations.AddConstraint(
            model_name="zerorating",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("effective_from__day", 1),
                    models.Q(
                        ("effective_to__isnull", True),
                        models.Q(("effective_to__day", 1), ("effective_to__gte", models.F("effective_from"))),
                        _connector="OR",
                    ),
                ),
                name="zero_rating_holds_for_whole_months",
            ),
        ),
        migrations.AddConstraint(
            model_name="zerorating",
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
                name="zero_ratings_of_a_customer_never_overlap",
            ),
        ),
        migrations.RunSQL(GUARDS),
    ]
