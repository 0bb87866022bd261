"""What is issued, posted, published or sent stays as it is, and every ledger transaction sums to zero."""

from django.db import migrations

INVOICES = """
CREATE FUNCTION billing_invoice_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = 'draft' THEN
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
        IF NEW.status <> 'draft' AND NOT EXISTS (
            SELECT 1 FROM billing_invoiceline WHERE invoice_id = NEW.id
            HAVING sum(amount_krw) = NEW.supply_krw AND sum(cost_usd) = NEW.cost_usd) THEN
            RAISE EXCEPTION 'invoice % is issued with lines that do not add up to it', NEW.id
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - 'status' = to_jsonb(OLD) - 'status'
       AND (OLD.status, NEW.status) IN (('issued', 'paid'), ('issued', 'void')) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'an issued invoice never changes: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER issued_invoice_never_changes BEFORE UPDATE OR DELETE ON billing_invoice
    FOR EACH ROW EXECUTE FUNCTION billing_invoice_guard();
CREATE FUNCTION billing_invoice_insert_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> 'draft' THEN
        RAISE EXCEPTION 'an invoice begins as a draft' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER invoice_begins_as_draft BEFORE INSERT ON billing_invoice
    FOR EACH ROW EXECUTE FUNCTION billing_invoice_insert_guard();
SELECT jeongsan_never_truncate('billing_invoice');

CREATE FUNCTION billing_invoiceline_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    invoice bigint := CASE TG_OP WHEN 'INSERT' THEN NEW.invoice_id ELSE OLD.invoice_id END;
BEGIN
    IF EXISTS (SELECT 1 FROM billing_invoice WHERE id = invoice AND status <> 'draft')
       OR (TG_OP = 'UPDATE' AND NEW.invoice_id <> OLD.invoice_id) THEN
        RAISE EXCEPTION 'the lines of an issued invoice never change: % refused', TG_OP
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER issued_lines_never_change BEFORE INSERT OR UPDATE OR DELETE ON billing_invoiceline
    FOR EACH ROW EXECUTE FUNCTION billing_invoiceline_guard();
SELECT jeongsan_never_truncate('billing_invoiceline');

CREATE FUNCTION billing_sequence_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.series = OLD.series AND NEW.last_number = OLD.last_number + 1 THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a number series only counts up by one: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER sequence_counts_up_by_one BEFORE UPDATE OR DELETE ON billing_numbersequence
    FOR EACH ROW EXECUTE FUNCTION billing_sequence_guard();
"""

LEDGER = """
CREATE FUNCTION billing_ledger_balances() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM billing_ledgerentry WHERE transaction_id = NEW.transaction_id
               GROUP BY currency HAVING sum(amount) <> 0) THEN
        RAISE EXCEPTION 'ledger transaction % does not sum to zero', NEW.transaction_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_transaction_sums_to_zero AFTER INSERT ON billing_ledgerentry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_ledger_balances();
"""

TAX_INVOICES = """
CREATE FUNCTION billing_taxinvoice_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    answers text[] := ARRAY['status', 'nts_status', 'approval_no', 'issued_at', 'error_code', 'error_message'];
BEGIN
    IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - answers = to_jsonb(OLD) - answers
       AND (OLD.approval_no = '' OR NEW.approval_no = OLD.approval_no) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a tax invoice record keeps its content: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER tax_invoice_keeps_its_content BEFORE UPDATE OR DELETE ON billing_taxinvoice
    FOR EACH ROW EXECUTE FUNCTION billing_taxinvoice_guard();

CREATE FUNCTION billing_finished_once_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.finished_at IS NULL AND NEW.id = OLD.id
       AND NEW.tax_invoice_id = OLD.tax_invoice_id AND NEW.started_at = OLD.started_at THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'an attempt is answered once: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER attempt_is_answered_once BEFORE UPDATE OR DELETE ON billing_taxinvoiceattempt
    FOR EACH ROW EXECUTE FUNCTION billing_finished_once_guard();
"""

DELIVERIES = """
CREATE FUNCTION billing_delivery_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.status <> 'done' AND NEW.kind = OLD.kind AND NEW.invoice_id = OLD.invoice_id
       AND NEW.recipient = OLD.recipient THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a delivery that was made stays made: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER delivery_stays_made BEFORE UPDATE OR DELETE ON billing_delivery
    FOR EACH ROW EXECUTE FUNCTION billing_delivery_guard();

CREATE FUNCTION billing_margin_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.effective_to IS NULL AND NEW.effective_to IS NOT NULL
       AND to_jsonb(NEW) - 'effective_to' = to_jsonb(OLD) - 'effective_to' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a margin rule is history: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER margin_rule_is_history BEFORE UPDATE OR DELETE ON billing_marginrule
    FOR EACH ROW EXECUTE FUNCTION billing_margin_guard();
"""

APPEND_ONLY = """
SELECT jeongsan_append_only('billing_exchangerate');
SELECT jeongsan_append_only('billing_invoicepdf');
SELECT jeongsan_append_only('billing_ledgertransaction');
SELECT jeongsan_append_only('billing_ledgerentry');
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial"), ("accounts", "0002_guards"), ("usage", "0002_event_tables")]
    operations = [migrations.RunSQL(sql) for sql in (INVOICES, LEDGER, TAX_INVOICES, DELIVERIES, APPEND_ONLY)]
