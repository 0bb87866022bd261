"""Credit notes never change, and never take more off an invoice line than it was billed at."""

from django.db import migrations

ALLOCATED = """
CREATE OR REPLACE FUNCTION billing_allocated() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    payer bigint;
BEGIN
    payer := coalesce((SELECT customer_id FROM billing_payment WHERE id = NEW.payment_id),
                      (SELECT customer_id FROM billing_prepayment WHERE id = NEW.prepayment_id),
                      (SELECT customer_id FROM billing_creditnote WHERE id = NEW.credit_note_id));
    IF NEW.source <> 'write_off'
       AND payer IS DISTINCT FROM (SELECT customer_id FROM billing_invoice WHERE id = NEW.invoice_id) THEN
        RAISE EXCEPTION 'a payment pays invoices of its own customer only' USING ERRCODE = 'restrict_violation';
    END IF;
    PERFORM billing_settle_invoice(NEW.invoice_id, NEW.amount_krw);
    UPDATE billing_payment SET allocated_krw = allocated_krw + NEW.amount_krw WHERE id = NEW.payment_id;
    UPDATE billing_prepayment SET consumed_krw = consumed_krw + NEW.amount_krw WHERE id = NEW.prepayment_id;
    RETURN NULL;
END $$;
"""

# The lines of a note are checked when the transaction ends, in the invoice's own lock: two notes at once wait here.
NOTES = """
CREATE FUNCTION billing_credit_note_adds_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    note billing_creditnote;
BEGIN
    SELECT * INTO note FROM billing_creditnote WHERE id = NEW.credit_note_id;
    PERFORM FROM billing_invoice WHERE id = note.invoice_id FOR NO KEY UPDATE;
    IF note.supply_krw <> (SELECT sum(amount_krw) FROM billing_creditnoteline WHERE credit_note_id = note.id) THEN
        RAISE EXCEPTION 'credit note %: its lines do not add up to it', note.number USING ERRCODE = 'restrict_violation';
    END IF;
    IF EXISTS (
        SELECT FROM billing_invoiceline line
        WHERE line.id = NEW.invoice_line_id AND (line.invoice_id <> note.invoice_id OR line.kind = 'promotion'
           OR line.amount_krw - line.promotion_krw < (
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
CREATE CONSTRAINT TRIGGER credit_note_adds_up AFTER INSERT ON billing_creditnoteline
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_credit_note_adds_up();
SELECT jeongsan_append_only('billing_creditnote');
SELECT jeongsan_append_only('billing_creditnoteline');

CREATE FUNCTION billing_pricecorrection_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    decided text[] := ARRAY['status', 'decided_by', 'decided_at'];
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.status = 'proposed' AND to_jsonb(NEW) - decided = to_jsonb(OLD) - decided THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a price correction is decided once: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER price_correction_is_decided_once BEFORE UPDATE OR DELETE ON billing_pricecorrection
    FOR EACH ROW EXECUTE FUNCTION billing_pricecorrection_guard();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0013_credit_notes")]
    operations = [migrations.RunSQL(sql) for sql in (ALLOCATED, NOTES)]
