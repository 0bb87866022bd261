"""Corrections and bounces never change; a delivery keeps what it is about, whatever that is."""

from django.db import migrations

DELIVERIES = """
CREATE OR REPLACE FUNCTION billing_delivery_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    progress text[] := ARRAY['status', 'attempts', 'next_attempt_at', 'claimed_until', 'done_at', 'last_error'];
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.status <> 'done' AND to_jsonb(NEW) - progress = to_jsonb(OLD) - progress THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a delivery that was made stays made: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
"""

APPEND_ONLY = """
SELECT jeongsan_append_only('billing_creditnotepdf');
SELECT jeongsan_append_only('billing_invoicevoid');
SELECT jeongsan_append_only('billing_deliverybounce');
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0020_corrections_reach_customers")]
    operations = [migrations.RunSQL(sql) for sql in (DELIVERIES, APPEND_ONLY)]
