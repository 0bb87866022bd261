"""A payment may be of dollars, and pays invoices in dollars by its dollars; raw SQL can't use one up twice.

What an allocation in dollars takes of its payment and of its invoice is held here as in `billing.dollars`: on both sides
the dollars that are left are fewer by exactly the dollars allocated, and the last ones leave no won.
"""

from decimal import Decimal

import django.db.models.expressions
from django.db import migrations, models

# `billing.dollars.outstanding_usd`, to the same cent: `div` cuts, so half a cent is added first.
DOLLARS_LEFT = """
CREATE FUNCTION billing_dollars_left(won bigint, total_krw bigint, total_usd numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN total_krw = 0 THEN total_usd
           ELSE div(200 * won * total_usd + total_krw, 2 * total_krw::numeric) / 100 END
$$;
"""

GUARD = """
CREATE OR REPLACE FUNCTION billing_payment_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    sums text[] := ARRAY['allocated_krw', 'allocated_usd', 'prepaid_krw', 'refunded_krw', 'is_reversed'];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF pg_trigger_depth() > 1 AND to_jsonb(NEW) - sums = to_jsonb(OLD) - sums THEN
            RETURN NEW;
        END IF;
        IF OLD.customer_id IS NULL AND NEW.customer_id IS NOT NULL
           AND to_jsonb(NEW) - 'customer_id' = to_jsonb(OLD) - 'customer_id' THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'a payment stays as it was received: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
"""

# As in 0014; a payment gives the won that were used up, which are not always those that are settled.
ALLOCATED = """
CREATE OR REPLACE FUNCTION billing_allocated() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    payer bigint;
    paid billing_payment;
    settled billing_invoice;
    free bigint;
    due bigint;
    free_usd numeric;
    due_usd numeric;
BEGIN
    payer := coalesce((SELECT customer_id FROM billing_payment WHERE id = NEW.payment_id),
                      (SELECT customer_id FROM billing_prepayment WHERE id = NEW.prepayment_id),
                      (SELECT customer_id FROM billing_creditnote WHERE id = NEW.credit_note_id));
    IF NEW.source <> 'write_off'
       AND payer IS DISTINCT FROM (SELECT customer_id FROM billing_invoice WHERE id = NEW.invoice_id) THEN
        RAISE EXCEPTION 'a payment pays invoices of its own customer only' USING ERRCODE = 'restrict_violation';
    END IF;
    PERFORM billing_settle_invoice(NEW.invoice_id, NEW.amount_krw);
    UPDATE billing_payment SET allocated_krw = allocated_krw + NEW.amount_krw + NEW.exchange_krw,
           allocated_usd = allocated_usd + coalesce(NEW.allocated_usd, 0) WHERE id = NEW.payment_id RETURNING * INTO paid;
    UPDATE billing_prepayment SET consumed_krw = consumed_krw + NEW.amount_krw WHERE id = NEW.prepayment_id;
    IF NEW.allocated_usd IS NOT NULL THEN
        SELECT * INTO settled FROM billing_invoice WHERE id = NEW.invoice_id;
        IF paid.currency <> 'USD' OR settled.currency <> 'USD' THEN
            RAISE EXCEPTION 'only dollars pay by the dollar, and only what is due in dollars'
                USING ERRCODE = 'restrict_violation';
        END IF;
        free := paid.amount_krw - paid.allocated_krw - paid.prepaid_krw - paid.refunded_krw;
        due := settled.total_krw - settled.allocated_krw;
        free_usd := least(
            billing_dollars_left(free + NEW.amount_krw + NEW.exchange_krw, paid.amount_krw, paid.received_usd),
            paid.received_usd - paid.allocated_usd + NEW.allocated_usd);
        due_usd := billing_dollars_left(due + NEW.amount_krw, settled.total_krw, settled.total_usd);
        IF billing_dollars_left(free, paid.amount_krw, paid.received_usd) <> free_usd - NEW.allocated_usd
           OR billing_dollars_left(due, settled.total_krw, settled.total_usd) <> due_usd - NEW.allocated_usd THEN
            RAISE EXCEPTION 'USD % take other won than theirs', NEW.allocated_usd USING ERRCODE = 'restrict_violation';
        END IF;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION billing_allocation_reversed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    undone billing_allocation;
BEGIN
    SELECT * INTO undone FROM billing_allocation WHERE id = NEW.allocation_id;
    PERFORM billing_settle_invoice(undone.invoice_id, -undone.amount_krw);
    UPDATE billing_payment SET allocated_krw = allocated_krw - undone.amount_krw - undone.exchange_krw,
           allocated_usd = allocated_usd - coalesce(undone.allocated_usd, 0) WHERE id = undone.payment_id;
    UPDATE billing_prepayment SET consumed_krw = consumed_krw - undone.amount_krw WHERE id = undone.prepayment_id;
    RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0008_invoice_currency"),
        ("billing", "0024_invoices_in_dollars"),
    ]

    operations = [
        migrations.AddField(
            model_name="allocation",
            name="allocated_usd",
            field=models.DecimalField(
                blank=True, decimal_places=2, max_digits=20, null=True, verbose_name="amount (USD)"
            ),
        ),
        migrations.AddField(
            model_name="allocation",
            name="exchange_krw",
            field=models.BigIntegerField(db_default=0, default=0, verbose_name="exchange gain (KRW)"),
        ),
        migrations.AddField(
            model_name="payment",
            name="allocated_usd",
            field=models.DecimalField(
                db_default=0, decimal_places=2, default=0, editable=False, max_digits=20, verbose_name="allocated (USD)"
            ),
        ),
        migrations.AddField(
            model_name="payment",
            name="currency",
            field=models.CharField(
                choices=[("KRW", "won (KRW)"), ("USD", "US dollars (USD)")],
                db_default="KRW",
                default="KRW",
                max_length=3,
                verbose_name="currency",
            ),
        ),
        migrations.AddField(
            model_name="payment",
            name="rate_krw_per_usd",
            field=models.DecimalField(
                blank=True, decimal_places=4, max_digits=12, null=True, verbose_name="KRW per USD"
            ),
        ),
        migrations.AddField(
            model_name="payment",
            name="rate_on",
            field=models.DateField(blank=True, null=True, verbose_name="published for"),
        ),
        migrations.AddField(
            model_name="payment",
            name="rate_source",
            field=models.CharField(blank=True, db_default="", default="", max_length=100, verbose_name="rate source"),
        ),
        migrations.AddField(
            model_name="payment",
            name="received_usd",
            field=models.DecimalField(
                blank=True, decimal_places=2, max_digits=20, null=True, verbose_name="received (USD)"
            ),
        ),
        migrations.AlterField(
            model_name="ledgerentry",
            name="account",
            field=models.CharField(
                choices=[
                    ("receivable", "accounts receivable"),
                    ("revenue", "revenue"),
                    ("discounts", "discounts given"),
                    ("promotions", "promotional credit given"),
                    ("vat_payable", "VAT payable"),
                    ("prepayments", "prepayments"),
                    ("unapplied", "unapplied payments"),
                    ("bank", "bank"),
                    ("bank_usd", "bank, in dollars"),
                    ("write_offs", "write-offs"),
                    ("cost_of_sales", "cost of sales"),
                    ("upstream_payable", "owed to upstreams"),
                    ("exchange_difference", "exchange difference"),
                ],
                max_length=20,
                verbose_name="account",
            ),
        ),
        migrations.AddConstraint(
            model_name="allocation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("allocated_usd__isnull", True), ("exchange_krw", 0)),
                    models.Q(
                        ("allocated_usd__gt", 0),
                        ("allocated_usd__isnull", False),
                        (
                            "exchange_krw__gt",
                            django.db.models.expressions.CombinedExpression(
                                models.F("amount_krw"), "*", models.Value(-1)
                            ),
                        ),
                        ("source", "payment"),
                    ),
                    _connector="OR",
                ),
                name="allocation_has_an_exchange_gain_only_in_dollars",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("allocated_usd", 0),
                        ("currency", "KRW"),
                        ("rate_krw_per_usd__isnull", True),
                        ("rate_on__isnull", True),
                        ("rate_source", ""),
                        ("received_usd__isnull", True),
                    ),
                    models.Q(
                        ("allocated_usd__gte", 0),
                        ("allocated_usd__lte", models.F("received_usd")),
                        (
                            "amount_krw__gt",
                            django.db.models.expressions.CombinedExpression(
                                django.db.models.expressions.CombinedExpression(
                                    models.F("received_usd"), "*", models.F("rate_krw_per_usd")
                                ),
                                "-",
                                models.Value(Decimal("0.5")),
                            ),
                        ),
                        (
                            "amount_krw__lte",
                            django.db.models.expressions.CombinedExpression(
                                django.db.models.expressions.CombinedExpression(
                                    models.F("received_usd"), "*", models.F("rate_krw_per_usd")
                                ),
                                "+",
                                models.Value(Decimal("0.5")),
                            ),
                        ),
                        ("currency", "USD"),
                        ("rate_krw_per_usd__gt", 0),
                        ("rate_krw_per_usd__isnull", False),
                        ("rate_on__isnull", False),
                        ("received_usd__gt", 0),
                        ("received_usd__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="payment_has_dollars_exactly_in_dollars",
            ),
        ),
        *(migrations.RunSQL(sql) for sql in (DOLLARS_LEFT, GUARD, ALLOCATED)),
    ]
