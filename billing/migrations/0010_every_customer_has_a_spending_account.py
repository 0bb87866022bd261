"""Every customer has a spending account from its first instant: a writer's usage always finds the row that it adds to."""

import django.db.models.deletion
from django.db import migrations, models

EVERY_CUSTOMER = """
CREATE FUNCTION billing_open_spending() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO billing_spendingaccount (
        customer_id, is_prepaid, prepaid_krw, promotional_krw, receivable_krw, unbilled_usd, held_krw)
    VALUES (NEW.id, false, 0, 0, 0, 0, 0);
    RETURN NULL;
END $$;
CREATE TRIGGER customer_has_a_spending_account AFTER INSERT ON accounts_customer
    FOR EACH ROW EXECUTE FUNCTION billing_open_spending();

INSERT INTO billing_spendingaccount (
    customer_id, is_prepaid, prepaid_krw, promotional_krw, receivable_krw, unbilled_usd, held_krw)
SELECT customer.id, false,
       -coalesce((SELECT sum(amount) FROM billing_ledgerentry AS entry
                  WHERE entry.customer_id = customer.id AND account = 'prepayments'), 0),
       0,
       coalesce((SELECT sum(amount) FROM billing_ledgerentry AS entry
                 WHERE entry.customer_id = customer.id AND account IN ('receivable', 'unapplied')), 0),
       coalesce((SELECT sum(cost_usd) FROM usage_usagerollup AS rollup
                 WHERE rollup.customer_id = customer.id AND NOT EXISTS (
                     SELECT FROM usage_billingperiod AS period WHERE period.customer_id = customer.id
                     AND period.month = rollup.billing_month AND period.status = 'closed')), 0),
       0
FROM accounts_customer AS customer
WHERE NOT EXISTS (SELECT FROM billing_spendingaccount AS known WHERE known.customer_id = customer.id);
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0009_upstream_costs_and_assignments"),
        ("billing", "0009_close_steps"),
        ("accounts", "0005_key_limits"),
    ]
    operations = [
        migrations.AlterField(
            model_name="spendingaccount",
            name="customer",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.CASCADE,
                primary_key=True,
                related_name="spending",
                serialize=False,
                to="accounts.customer",
                verbose_name="customer",
            ),
        ),
        migrations.RunSQL(EVERY_CUSTOMER),
    ]
