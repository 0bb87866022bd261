"""Every won received, set aside, given away or sent back is used at most once, whoever writes and however many at once.

The sums on payments, prepayments, promotional credits and invoices are kept by the triggers below, in the row's own lock;
their check constraints refuse what would be spent twice. Nobody else may move them: a guard lets a sum change only from
inside a trigger.
"""

from django.db import migrations

INVOICES = """
CREATE OR REPLACE FUNCTION billing_invoice_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = 'draft' THEN
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
        IF NEW.status <> 'draft' AND NOT EXISTS (
            SELECT 1 FROM billing_invoiceline WHERE invoice_id = NEW.id
            HAVING sum(amount_krw) = NEW.supply_krw AND sum(cost_usd) = NEW.cost_usd
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

CREATE FUNCTION billing_settle_invoice(invoice bigint, won bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE billing_invoice SET
        allocated_krw = allocated_krw + won,
        status = CASE
            WHEN status IN ('draft', 'void') THEN status
            WHEN allocated_krw + won = total_krw THEN 'paid'
            ELSE 'issued' END
    WHERE id = invoice;
END $$;
"""

SUMS = """
CREATE FUNCTION billing_payment_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    sums text[] := ARRAY['allocated_krw', 'prepaid_krw', 'refunded_krw', 'is_reversed'];
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
CREATE TRIGGER payment_stays_as_received BEFORE UPDATE OR DELETE ON billing_payment
    FOR EACH ROW EXECUTE FUNCTION billing_payment_guard();
SELECT jeongsan_never_truncate('billing_payment');

CREATE FUNCTION billing_prepayment_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    sums text[] := ARRAY['consumed_krw', 'refunded_krw', 'withdrawn_krw'];
BEGIN
    IF TG_OP = 'UPDATE' AND pg_trigger_depth() > 1 AND to_jsonb(NEW) - sums = to_jsonb(OLD) - sums THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a prepayment moves by what becomes of it: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER prepayment_moves_by_its_rows BEFORE UPDATE OR DELETE ON billing_prepayment
    FOR EACH ROW EXECUTE FUNCTION billing_prepayment_guard();
SELECT jeongsan_never_truncate('billing_prepayment');

CREATE FUNCTION billing_promotionalcredit_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    sums text[] := ARRAY['used_krw', 'expired_krw', 'voided_krw'];
BEGIN
    IF TG_OP = 'UPDATE' AND pg_trigger_depth() > 1 AND to_jsonb(NEW) - sums = to_jsonb(OLD) - sums THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a promotional credit moves by what becomes of it: % refused', TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER promotional_credit_moves_by_its_rows BEFORE UPDATE OR DELETE ON billing_promotionalcredit
    FOR EACH ROW EXECUTE FUNCTION billing_promotionalcredit_guard();
SELECT jeongsan_never_truncate('billing_promotionalcredit');
"""

MOVES = """
CREATE FUNCTION billing_allocated() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    payer bigint;
BEGIN
    payer := coalesce((SELECT customer_id FROM billing_payment WHERE id = NEW.payment_id),
                      (SELECT customer_id FROM billing_prepayment WHERE id = NEW.prepayment_id));
    IF NEW.source <> 'write_off'
       AND payer IS DISTINCT FROM (SELECT customer_id FROM billing_invoice WHERE id = NEW.invoice_id) THEN
        RAISE EXCEPTION 'a payment pays invoices of its own customer only' USING ERRCODE = 'restrict_violation';
    END IF;
    PERFORM billing_settle_invoice(NEW.invoice_id, NEW.amount_krw);
    UPDATE billing_payment SET allocated_krw = allocated_krw + NEW.amount_krw WHERE id = NEW.payment_id;
    UPDATE billing_prepayment SET consumed_krw = consumed_krw + NEW.amount_krw WHERE id = NEW.prepayment_id;
    RETURN NULL;
END $$;
CREATE TRIGGER allocation_is_summed AFTER INSERT ON billing_allocation
    FOR EACH ROW EXECUTE FUNCTION billing_allocated();

CREATE FUNCTION billing_allocation_reversed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    undone billing_allocation;
BEGIN
    SELECT * INTO undone FROM billing_allocation WHERE id = NEW.allocation_id;
    PERFORM billing_settle_invoice(undone.invoice_id, -undone.amount_krw);
    UPDATE billing_payment SET allocated_krw = allocated_krw - undone.amount_krw WHERE id = undone.payment_id;
    UPDATE billing_prepayment SET consumed_krw = consumed_krw - undone.amount_krw WHERE id = undone.prepayment_id;
    RETURN NULL;
END $$;
CREATE TRIGGER allocation_reversal_is_summed AFTER INSERT ON billing_allocationreversal
    FOR EACH ROW EXECUTE FUNCTION billing_allocation_reversed();

CREATE FUNCTION billing_payment_reversed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE billing_payment SET is_reversed = true WHERE id = NEW.payment_id;
    RETURN NULL;
END $$;
CREATE TRIGGER payment_reversal_is_noted AFTER INSERT ON billing_paymentreversal
    FOR EACH ROW EXECUTE FUNCTION billing_payment_reversed();

CREATE FUNCTION billing_set_aside() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.customer_id IS DISTINCT FROM (SELECT customer_id FROM billing_payment WHERE id = NEW.payment_id) THEN
        RAISE EXCEPTION 'a prepayment belongs to whoever paid it' USING ERRCODE = 'restrict_violation';
    END IF;
    UPDATE billing_payment SET prepaid_krw = prepaid_krw + NEW.amount_krw WHERE id = NEW.payment_id;
    RETURN NULL;
END $$;
CREATE TRIGGER prepayment_is_summed AFTER INSERT ON billing_prepayment
    FOR EACH ROW EXECUTE FUNCTION billing_set_aside();

CREATE FUNCTION billing_withdrawn() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    paid bigint;
BEGIN
    UPDATE billing_prepayment SET withdrawn_krw = withdrawn_krw + NEW.amount_krw WHERE id = NEW.prepayment_id
        RETURNING payment_id INTO paid;
    UPDATE billing_payment SET prepaid_krw = prepaid_krw - NEW.amount_krw WHERE id = paid;
    RETURN NULL;
END $$;
CREATE TRIGGER withdrawal_is_summed AFTER INSERT ON billing_prepaymentwithdrawal
    FOR EACH ROW EXECUTE FUNCTION billing_withdrawn();

CREATE FUNCTION billing_refunded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE billing_payment SET refunded_krw = refunded_krw + NEW.amount_krw WHERE id = NEW.payment_id;
    UPDATE billing_prepayment SET refunded_krw = refunded_krw + NEW.amount_krw WHERE id = NEW.prepayment_id;
    RETURN NULL;
END $$;
CREATE TRIGGER refund_is_summed AFTER INSERT ON billing_refund
    FOR EACH ROW EXECUTE FUNCTION billing_refunded();

CREATE FUNCTION billing_promotion_moved() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    used bigint := CASE NEW.kind WHEN 'used' THEN NEW.amount_krw WHEN 'returned' THEN -NEW.amount_krw ELSE 0 END;
BEGIN
    IF NEW.kind = 'returned' AND NOT EXISTS (
        SELECT 1 FROM billing_promotionalcreditmove WHERE credit_id = NEW.credit_id AND invoice_id = NEW.invoice_id
           AND kind = 'used' AND amount_krw = NEW.amount_krw) THEN
        RAISE EXCEPTION 'only what an invoice used can be returned' USING ERRCODE = 'restrict_violation';
    END IF;
    UPDATE billing_promotionalcredit SET
        used_krw = used_krw + used,
        expired_krw = expired_krw + CASE NEW.kind WHEN 'expired' THEN NEW.amount_krw ELSE 0 END,
        voided_krw = voided_krw + CASE NEW.kind WHEN 'voided' THEN NEW.amount_krw ELSE 0 END
    WHERE id = NEW.credit_id;
    RETURN NULL;
END $$;
CREATE TRIGGER promotion_move_is_summed AFTER INSERT ON billing_promotionalcreditmove
    FOR EACH ROW EXECUTE FUNCTION billing_promotion_moved();
"""

DELIVERIES = """
CREATE OR REPLACE FUNCTION billing_delivery_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.status <> 'done' AND NEW.kind = OLD.kind AND NEW.recipient = OLD.recipient
       AND NEW.invoice_id IS NOT DISTINCT FROM OLD.invoice_id
       AND NEW.top_up_request_id IS NOT DISTINCT FROM OLD.top_up_request_id THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a delivery that was made stays made: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION billing_topuprequest_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    answers text[] := ARRAY['status', 'answered_at'];
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.status = 'open' AND to_jsonb(NEW) - answers = to_jsonb(OLD) - answers THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a top-up request stays as it was sent: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER top_up_request_stays_as_sent BEFORE UPDATE OR DELETE ON billing_topuprequest
    FOR EACH ROW EXECUTE FUNCTION billing_topuprequest_guard();
"""

APPEND_ONLY = """
SELECT jeongsan_append_only('billing_allocation');
SELECT jeongsan_append_only('billing_allocationreversal');
SELECT jeongsan_append_only('billing_paymentreversal');
SELECT jeongsan_append_only('billing_prepaymentwithdrawal');
SELECT jeongsan_append_only('billing_refund');
SELECT jeongsan_append_only('billing_promotionalcreditmove');
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_ledger_payments_and_credit")]
    operations = [migrations.RunSQL(sql) for sql in (INVOICES, SUMS, MOVES, DELIVERIES, APPEND_ONLY)]
