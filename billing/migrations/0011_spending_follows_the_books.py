"""Ledger entries and closed months move a customer's spending account in the statement that writes them."""

from django.db import migrations

LEDGER = """
CREATE FUNCTION billing_follow_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    customers bigint[];
    prepaid bigint[];
    owed bigint[];
BEGIN
    SELECT array_agg(customer_id), array_agg(more_prepaid), array_agg(more_owed) INTO customers, prepaid, owed
    FROM (SELECT customer_id, -coalesce(sum(amount) FILTER (WHERE account = 'prepayments'), 0) AS more_prepaid,
                 coalesce(sum(amount) FILTER (WHERE account <> 'prepayments'), 0) AS more_owed
          FROM new_rows
          WHERE customer_id IS NOT NULL AND currency = 'KRW' AND account IN ('prepayments', 'receivable', 'unapplied')
          GROUP BY customer_id) AS changed;
    IF customers IS NOT NULL THEN
        PERFORM 1 FROM billing_spendingaccount WHERE customer_id = ANY (customers) ORDER BY customer_id FOR NO KEY UPDATE;
        UPDATE billing_spendingaccount AS account SET
            prepaid_krw = account.prepaid_krw + changed.prepaid, receivable_krw = account.receivable_krw + changed.owed
        FROM unnest(customers, prepaid, owed) AS changed (customer_id, prepaid, owed)
        WHERE account.customer_id = changed.customer_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER spending_follows_ledger AFTER INSERT ON billing_ledgerentry REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION billing_follow_ledger();
"""

# Nobody stores events of the customer meanwhile: whoever closes a month holds it alone.
CLOSE = """
CREATE FUNCTION billing_follow_close() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE billing_spendingaccount SET unbilled_usd = unbilled_usd - billed.cost_usd
    FROM (SELECT coalesce(sum(cost_usd), 0) AS cost_usd FROM usage_usagerollup
          WHERE customer_id = NEW.customer_id AND billing_month = NEW.month) AS billed
    WHERE customer_id = NEW.customer_id AND billed.cost_usd <> 0;
    RETURN NULL;
END $$;
CREATE TRIGGER spending_follows_close AFTER UPDATE OF status ON usage_billingperiod
    FOR EACH ROW WHEN (NEW.status = 'closed' AND OLD.status <> 'closed') EXECUTE FUNCTION billing_follow_close();
CREATE TRIGGER spending_follows_closed_from_the_start AFTER INSERT ON usage_billingperiod
    FOR EACH ROW WHEN (NEW.status = 'closed') EXECUTE FUNCTION billing_follow_close();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0010_every_customer_has_a_spending_account")]
    operations = [migrations.RunSQL(sql) for sql in (LEDGER, CLOSE)]
