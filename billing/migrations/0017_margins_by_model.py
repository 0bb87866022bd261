"""Margins by customer, provider, family or model, what they are reckoned on, and what customers may spend by them."""

import django.contrib.postgres.constraints
import django.contrib.postgres.fields.ranges
import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.comparison
from django.db import migrations, models

# USD that are sold, by what a contract goes by.
SOLD = """
CREATE FUNCTION billing_basis(basis text, catalog numeric, upstream numeric, higher numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE basis WHEN 'upstream' THEN upstream WHEN 'higher' THEN higher ELSE catalog END
$$;

-- What a customer's month holds: USD that sell on its general terms, and won with VAT of the models that sell on others.
CREATE FUNCTION billing_sold(p_customer bigint, p_month date) RETURNS TABLE (usd numeric, krw numeric)
LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(sold.usd) FILTER (WHERE term.id IS NULL), 0), coalesce(sum(sold.usd * term.factor_krw_per_usd), 0)
    FROM (SELECT model_id, sum(cost_usd) AS catalog, sum(upstream_basis_usd) AS upstream, sum(higher_basis_usd) AS higher
          FROM usage_usagerollup WHERE customer_id = p_customer AND billing_month = p_month GROUP BY model_id) AS used
    JOIN billing_spendingaccount AS account ON account.customer_id = p_customer
    LEFT JOIN billing_spendingterm AS term ON term.customer_id = p_customer AND term.model_id = used.model_id
    CROSS JOIN LATERAL (SELECT billing_basis(
        coalesce(term.basis, account.basis), used.catalog, used.upstream, used.higher) AS usd) AS sold
$$;
"""
# One statement of a writer touches the rows of many customers: their accounts are locked in one order for everybody, and
# their terms read after that. What a closed month holds stands on an invoice and is owed there. The settings: a kept plan
# that reads whole tables was made when they were small.
UNBILLED = """
DROP FUNCTION billing_add_unbilled(bigint[], date[], numeric[]);
CREATE FUNCTION billing_add_unbilled(
    customers bigint[], months date[], models bigint[], costs numeric[], upstream numeric[], higher numeric[]
) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    PERFORM 1 FROM billing_spendingaccount WHERE customer_id = ANY (customers) ORDER BY customer_id FOR NO KEY UPDATE;
    IF NOT EXISTS (SELECT FROM billing_spendingterm WHERE customer_id = ANY (customers))
       AND NOT EXISTS (SELECT FROM billing_spendingaccount WHERE customer_id = ANY (customers) AND basis <> 'catalog') THEN
        UPDATE billing_spendingaccount AS account SET unbilled_usd = account.unbilled_usd + changed.cost
        FROM (SELECT part.customer_id, sum(part.cost) AS cost
              FROM unnest(customers, months, costs) AS part (customer_id, month, cost)
              WHERE NOT EXISTS (SELECT FROM usage_billingperiod AS period WHERE period.customer_id = part.customer_id
                                AND period.month = part.month AND period.status = 'closed')
              GROUP BY part.customer_id) AS changed
        WHERE account.customer_id = changed.customer_id AND changed.cost <> 0;
        RETURN;
    END IF;
    UPDATE billing_spendingaccount AS account SET
        unbilled_usd = account.unbilled_usd + changed.usd,
        unbilled_by_model_krw = account.unbilled_by_model_krw + changed.krw
    FROM (SELECT used.customer_id, coalesce(sum(sold.usd) FILTER (WHERE term.id IS NULL), 0) AS usd,
                 coalesce(sum(sold.usd * term.factor_krw_per_usd), 0) AS krw
          FROM (SELECT part.customer_id, part.month, part.model_id, sum(part.catalog) AS catalog,
                       sum(part.upstream) AS upstream, sum(part.higher) AS higher
                FROM unnest(customers, months, models, costs, upstream, higher)
                     AS part (customer_id, month, model_id, catalog, upstream, higher)
                GROUP BY part.customer_id, part.month, part.model_id) AS used
          JOIN billing_spendingaccount AS owner ON owner.customer_id = used.customer_id
          LEFT JOIN billing_spendingterm AS term
            ON term.customer_id = used.customer_id AND term.model_id = used.model_id
          CROSS JOIN LATERAL (SELECT billing_basis(
              coalesce(term.basis, owner.basis), used.catalog, used.upstream, used.higher) AS usd) AS sold
          WHERE NOT EXISTS (SELECT FROM usage_billingperiod AS period WHERE period.customer_id = used.customer_id
                            AND period.month = used.month AND period.status = 'closed')
          GROUP BY used.customer_id) AS changed
    WHERE account.customer_id = changed.customer_id AND (changed.usd <> 0 OR changed.krw <> 0);
END $$;

CREATE OR REPLACE FUNCTION billing_count_unbilled() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    customers bigint[];
    months date[];
    models bigint[];
    costs numeric[];
    upstream numeric[];
    higher numeric[];
BEGIN
    IF TG_OP <> 'DELETE' THEN
        SELECT array_agg(customer_id), array_agg(billing_month), array_agg(model_id), array_agg(cost_usd),
               array_agg(upstream_basis_usd), array_agg(higher_basis_usd)
        INTO customers, months, models, costs, upstream, higher FROM new_rows;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        SELECT customers || array_agg(customer_id), months || array_agg(billing_month), models || array_agg(model_id),
               costs || array_agg(-cost_usd), upstream || array_agg(-upstream_basis_usd),
               higher || array_agg(-higher_basis_usd)
        INTO customers, months, models, costs, upstream, higher FROM old_rows;
    END IF;
    IF customers IS NOT NULL THEN
        PERFORM billing_add_unbilled(customers, months, models, costs, upstream, higher);
    END IF;
    RETURN NULL;
END $$;
"""
CLOSE = """
CREATE OR REPLACE FUNCTION billing_follow_close() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    PERFORM 1 FROM billing_spendingaccount WHERE customer_id = NEW.customer_id FOR NO KEY UPDATE;
    UPDATE billing_spendingaccount SET
        unbilled_usd = unbilled_usd - billed.usd, unbilled_by_model_krw = unbilled_by_model_krw - billed.krw
    FROM billing_sold(NEW.customer_id, NEW.month) AS billed
    WHERE customer_id = NEW.customer_id AND (billed.usd <> 0 OR billed.krw <> 0);
    RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_key_limits"),
        ("usage", "0009_cost_bases"),
        ("billing", "0016_spending_by_index"),
        ("catalog", "0004_price_changes"),
    ]

    operations = [
        migrations.CreateModel(
            name="SpendingTerm",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("model_id", models.BigIntegerField()),
                (
                    "basis",
                    models.CharField(
                        choices=[
                            ("catalog", "our list price"),
                            ("upstream", "the upstream's charge"),
                            ("higher", "the higher of both"),
                        ],
                        max_length=8,
                        verbose_name="reckoned on",
                    ),
                ),
                (
                    "factor_krw_per_usd",
                    models.DecimalField(
                        decimal_places=10, max_digits=24, verbose_name="KRW per USD, with margin and VAT"
                    ),
                ),
            ],
            options={
                "verbose_name": "spending term",
                "verbose_name_plural": "spending terms",
            },
        ),
        migrations.RemoveConstraint(
            model_name="marginrule",
            name="margin_rules_of_a_customer_never_overlap",
        ),
        migrations.RemoveConstraint(
            model_name="spendingaccount",
            name="spending_amounts_are_never_negative",
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="basis",
            field=models.CharField(
                choices=[
                    ("catalog", "our list price"),
                    ("upstream", "the upstream's charge"),
                    ("higher", "the higher of both"),
                ],
                db_default="catalog",
                default="catalog",
                max_length=8,
                verbose_name="reckoned on",
            ),
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="basis_usd",
            field=models.DecimalField(
                blank=True, decimal_places=28, max_digits=48, null=True, verbose_name="basis (USD)"
            ),
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="margin",
            field=models.DecimalField(blank=True, decimal_places=5, max_digits=6, null=True, verbose_name="margin"),
        ),
        migrations.AddField(
            model_name="marginrule",
            name="basis",
            field=models.CharField(
                choices=[
                    ("catalog", "our list price"),
                    ("upstream", "the upstream's charge"),
                    ("higher", "the higher of both"),
                ],
                db_default="catalog",
                default="catalog",
                max_length=8,
                verbose_name="reckoned on",
            ),
        ),
        migrations.AddField(
            model_name="marginrule",
            name="family",
            field=models.CharField(blank=True, db_default="", max_length=200, verbose_name="model family"),
        ),
        migrations.AddField(
            model_name="marginrule",
            name="model",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="catalog.model",
                verbose_name="model",
            ),
        ),
        migrations.AddField(
            model_name="marginrule",
            name="provider",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="catalog.provider",
                verbose_name="provider",
            ),
        ),
        migrations.AddField(
            model_name="spendingaccount",
            name="basis",
            field=models.CharField(
                choices=[
                    ("catalog", "our list price"),
                    ("upstream", "the upstream's charge"),
                    ("higher", "the higher of both"),
                ],
                db_default="catalog",
                default="catalog",
                max_length=8,
                verbose_name="reckoned on",
            ),
        ),
        migrations.AddField(
            model_name="spendingaccount",
            name="unbilled_by_model_krw",
            field=models.DecimalField(
                db_default=0,
                decimal_places=38,
                default=0,
                max_digits=80,
                verbose_name="not yet billed on terms of models (KRW)",
            ),
        ),
        migrations.AlterField(
            model_name="invoice",
            name="margin",
            field=models.DecimalField(blank=True, decimal_places=5, max_digits=6, null=True, verbose_name="margin"),
        ),
        migrations.RemoveField("spendingaccount", "unbilled_krw"),
        migrations.AddField(
            model_name="spendingaccount",
            name="unbilled_krw",
            field=models.GeneratedField(
                db_persist=True,
                expression=django.db.models.expressions.CombinedExpression(
                    django.db.models.expressions.CombinedExpression(
                        models.F("unbilled_usd"),
                        "*",
                        django.db.models.functions.comparison.Coalesce(models.F("factor_krw_per_usd"), models.Value(0)),
                    ),
                    "+",
                    models.F("unbilled_by_model_krw"),
                ),
                output_field=models.DecimalField(decimal_places=38, max_digits=80, verbose_name="not yet billed (KRW)"),
            ),
        ),
        migrations.AddConstraint(
            model_name="invoiceline",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("basis", "catalog"), ("basis_usd__isnull", True)),
                    models.Q(
                        ("basis__in", ["upstream", "higher"]), ("basis_usd__gte", 0), ("basis_usd__isnull", False)
                    ),
                    _connector="OR",
                ),
                name="invoice_line_names_its_basis",
            ),
        ),
        migrations.AddConstraint(
            model_name="marginrule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("family", ""), ("provider__isnull", True)),
                    models.Q(("model__isnull", True), ("provider__isnull", True)),
                    models.Q(("family", ""), ("model__isnull", True)),
                    _connector="OR",
                ),
                name="margin_rule_is_about_one_thing_at_most",
            ),
        ),
        migrations.AddConstraint(
            model_name="marginrule",
            constraint=models.CheckConstraint(
                condition=models.Q(("family", ""), ("family__regex", "^[^/\\s]+/\\S+$"), _connector="OR"),
                name="margin_family_is_the_beginning_of_ids",
            ),
        ),
        migrations.AddConstraint(
            model_name="marginrule",
            constraint=models.CheckConstraint(
                condition=models.Q(("basis__in", ["catalog", "upstream", "higher"])), name="margin_basis_is_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="marginrule",
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(
                expressions=[
                    (django.db.models.functions.comparison.Coalesce("customer_id", models.Value(0)), "="),
                    (django.db.models.functions.comparison.Coalesce("provider_id", models.Value(0)), "="),
                    (models.F("family"), "="),
                    (django.db.models.functions.comparison.Coalesce("model_id", models.Value(0)), "="),
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
                name="margin_rules_of_a_scope_never_overlap",
            ),
        ),
        migrations.AddConstraint(
            model_name="spendingaccount",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("prepaid_krw__gte", 0),
                    ("promotional_krw__gte", 0),
                    ("unbilled_by_model_krw__gte", 0),
                    ("unbilled_usd__gte", 0),
                    models.Q(("credit_limit_krw__isnull", True), ("credit_limit_krw__gte", 0), _connector="OR"),
                ),
                name="spending_amounts_are_never_negative",
            ),
        ),
        migrations.AddField(
            model_name="spendingterm",
            name="account",
            field=models.ForeignKey(
                db_column="customer_id",
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="terms",
                to="billing.spendingaccount",
            ),
        ),
        migrations.AddConstraint(
            model_name="spendingterm",
            constraint=models.UniqueConstraint(
                fields=("account", "model_id"), name="spending_term_is_one_per_customer_and_model"
            ),
        ),
        migrations.AddConstraint(
            model_name="spendingterm",
            constraint=models.CheckConstraint(
                condition=models.Q(("factor_krw_per_usd__gt", 0)), name="spending_term_is_above_zero"
            ),
        ),
        *(migrations.RunSQL(sql) for sql in (SOLD, UNBILLED, CLOSE)),
    ]
