"""Discounts of a contract, and their lines on invoices."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
from django.db import migrations, models

GUARDS = """
CREATE FUNCTION billing_discount_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.effective_to IS NULL AND NEW.effective_to IS NOT NULL
       AND to_jsonb(NEW) - 'effective_to' = to_jsonb(OLD) - 'effective_to' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a discount is history: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER discount_is_history BEFORE UPDATE OR DELETE ON billing_discount
    FOR EACH ROW EXECUTE FUNCTION billing_discount_guard();
SELECT jeongsan_never_truncate('billing_discount');

CREATE OR REPLACE FUNCTION billing_invoice_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = 'draft' THEN
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
        IF NEW.status <> 'draft' AND NOT EXISTS (
            SELECT 1 FROM billing_invoiceline WHERE invoice_id = NEW.id
            HAVING sum(amount_krw) = NEW.supply_krw AND sum(cost_usd) = NEW.cost_usd
               AND sum(discount_krw) = coalesce(-sum(amount_krw) FILTER (WHERE kind = 'discount'), 0)
               AND sum(promotion_krw) = coalesce(-sum(amount_krw) FILTER (WHERE kind = 'promotion'), 0)) THEN
            RAISE EXCEPTION 'invoice % is issued with lines that do not add up to it', NEW.id
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE'
       AND to_jsonb(NEW) - 'status' - 'allocated_krw' = to_jsonb(OLD) - 'status' - 'allocated_krw' THEN
        IF NEW.allocated_krw = OLD.allocated_krw AND (OLD.status, NEW.status) = ('issued', 'void') THEN
            RETURN NEW;
        END IF;
        -- Deeper than this trigger itself: an allocation moved it.
        IF pg_trigger_depth() > 1 AND OLD.status IN ('issued', 'paid') AND NEW.status IN ('issued', 'paid') THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'an issued invoice never changes: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION billing_discount_line_is_the_customers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM billing_discount d JOIN billing_invoice i ON i.customer_id = d.customer_id
        WHERE d.id = NEW.discount_id AND i.id = NEW.invoice_id) THEN
        RAISE EXCEPTION 'a discount is taken off invoices of its own customer only' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER discount_is_of_the_customer BEFORE INSERT OR UPDATE ON billing_invoiceline
    FOR EACH ROW WHEN (NEW.discount_id IS NOT NULL) EXECUTE FUNCTION billing_discount_line_is_the_customers();

CREATE OR REPLACE FUNCTION billing_credit_note_adds_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    note billing_creditnote;
BEGIN
    SELECT * INTO note FROM billing_creditnote WHERE id = NEW.credit_note_id;
    PERFORM FROM billing_invoice WHERE id = note.invoice_id FOR NO KEY UPDATE;
    IF note.supply_krw <> (SELECT sum(amount_krw) FROM billing_creditnoteline WHERE credit_note_id = note.id) THEN
        RAISE EXCEPTION 'credit note %: its lines do not add up to it', note.number USING ERRCODE = 'restrict_violation';
    END IF;
    -- A line that takes won off has none to give back: its amount is negative.
    IF EXISTS (
        SELECT FROM billing_invoiceline line
        WHERE line.id = NEW.invoice_line_id AND (line.invoice_id <> note.invoice_id
           OR line.amount_krw - line.discount_krw - line.promotion_krw < (
               SELECT sum(amount_krw) FROM billing_creditnoteline WHERE invoice_line_id = line.id))) THEN
        RAISE EXCEPTION 'credit note %: more is taken off a line than it was billed at', note.number
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF EXISTS (
        SELECT FROM billing_invoice invoice WHERE invoice.id = note.invoice_id AND (
            invoice.customer_id <> note.customer_id
            OR invoice.vat_krw < (SELECT sum(vat_krw) FROM billing_creditnote WHERE invoice_id = invoice.id))) THEN
        RAISE EXCEPTION 'credit note %: more VAT is taken back than was charged', note.number
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_key_limits"),
        ("billing", "0017_margins_by_model"),
        ("catalog", "0004_price_changes"),
    ]

    operations = [
        migrations.CreateModel(
            name="Discount",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100, verbose_name="name on the invoice")),
                (
                    "share",
                    models.DecimalField(
                        blank=True, decimal_places=5, max_digits=6, null=True, verbose_name="share of the supply"
                    ),
                ),
                ("amount_krw", models.BigIntegerField(blank=True, null=True, verbose_name="won a month")),
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
                "verbose_name": "discount",
                "verbose_name_plural": "discounts",
                "ordering": ["customer", "-effective_from", "-pk"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="invoiceline",
            name="invoice_line_is_negative_exactly_for_a_promotion",
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="discount_krw",
            field=models.BigIntegerField(db_default=0, default=0, verbose_name="of this discounted (KRW)"),
        ),
        migrations.AlterField(
            model_name="invoiceline",
            name="kind",
            field=models.CharField(
                choices=[
                    ("usage", "usage"),
                    ("supplementary", "supplementary"),
                    ("discount", "discount"),
                    ("promotion", "promotion"),
                ],
                max_length=14,
                verbose_name="kind",
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
                    ("write_offs", "write-offs"),
                    ("cost_of_sales", "cost of sales"),
                    ("upstream_payable", "owed to upstreams"),
                    ("exchange_difference", "exchange difference"),
                ],
                max_length=20,
                verbose_name="account",
            ),
        ),
        migrations.AddField(
            model_name="discount",
            name="customer",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="discounts",
                to="accounts.customer",
                verbose_name="customer",
            ),
        ),
        migrations.AddField(
            model_name="discount",
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
            model_name="invoiceline",
            name="discount",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="invoice_lines",
                to="billing.discount",
                verbose_name="discount",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoiceline",
            constraint=models.UniqueConstraint(fields=("invoice", "discount"), name="invoice_line_is_one_per_discount"),
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
        migrations.AddConstraint(
            model_name="invoiceline",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("cost_usd__gte", 0),
                        ("discount_krw__gte", 0),
                        ("kind__in", ["usage", "supplementary"]),
                        ("model_id__isnull", False),
                        ("promotion_krw__gte", 0),
                    ),
                    models.Q(
                        models.Q(("kind__in", ["usage", "supplementary"]), _negated=True),
                        ("cost_usd", 0),
                        ("discount_krw", 0),
                        ("model_id__isnull", True),
                        ("promotion_krw", 0),
                    ),
                    _connector="OR",
                ),
                name="invoice_line_has_usage_exactly_where_it_has_a_model",
            ),
        ),
        migrations.AddConstraint(
            model_name="discount",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("amount_krw__isnull", True), ("share__gt", 0), ("share__isnull", False), ("share__lt", 1)
                    ),
                    models.Q(("amount_krw__gt", 0), ("amount_krw__isnull", False), ("share__isnull", True)),
                    _connector="OR",
                ),
                name="discount_is_a_share_or_so_many_won",
            ),
        ),
        migrations.AddConstraint(
            model_name="discount",
            constraint=models.CheckConstraint(
                condition=models.Q(("provider__isnull", True), ("models_covered__isnull", True), _connector="OR"),
                name="discount_is_limited_in_one_way_at_most",
            ),
        ),
        migrations.AddConstraint(
            model_name="discount",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("effective_from__day", 1),
                    models.Q(
                        ("effective_to__isnull", True),
                        models.Q(("effective_to__day", 1), ("effective_to__gte", models.F("effective_from"))),
                        _connector="OR",
                    ),
                ),
                name="discount_holds_for_whole_months",
            ),
        ),
        migrations.AddConstraint(
            model_name="discount",
            constraint=models.CheckConstraint(
                condition=models.Q(models.Q(("name", ""), _negated=True), models.Q(("reason", ""), _negated=True)),
                name="discount_has_a_name_and_a_reason",
            ),
        ),
        migrations.RunSQL(GUARDS),
    ]
