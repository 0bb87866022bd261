"""An invoice that free credit or a discount covers whole is paid as it is issued: it can be voided like any other."""

from django.db import migrations

# As in 0018, but for one more way to become void: nothing was owed, so no allocation has to give way first.
GUARD = """
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
        IF NEW.allocated_krw = OLD.allocated_krw AND NEW.status = 'void'
           AND (OLD.status = 'issued' OR OLD.status = 'paid' AND OLD.total_krw = 0) THEN
            RETURN NEW;
        END IF;
        -- Deeper than this trigger itself: an allocation moved it.
        IF pg_trigger_depth() > 1 AND OLD.status IN ('issued', 'paid') AND NEW.status IN ('issued', 'paid') THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'an issued invoice never changes: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0022_zero_ratings")]

    operations = [migrations.RunSQL(GUARD)]
