"""Settling a group of open calls in one statement: their events, their sums, their holds."""

from django.db import migrations

FINISH = """
CREATE FUNCTION gateway_finish(
    p_now timestamptz, p_ids text[], p_rows json, p_customers bigint[], p_months date[], p_catalog bigint,
    p_calls jsonb, p_attempts jsonb, p_aliases jsonb)
RETURNS TABLE (settled_id text, billed boolean) LANGUAGE plpgsql AS $$
DECLARE
    is_current boolean;
    known text;
BEGIN
    PERFORM 1 FROM gateway_call WHERE call_id = ANY (p_ids) AND status = 'open' ORDER BY call_id FOR UPDATE;
    IF (SELECT count(*) FROM gateway_call WHERE call_id = ANY (p_ids) AND status = 'open') <> cardinality(p_ids) THEN
        RETURN;
    END IF;
    SELECT stored.is_current, stored.known INTO is_current, known
    FROM usage_store_events(p_rows, p_customers, p_months, p_now, p_catalog) AS stored;
    IF NOT is_current THEN
        RETURN;
    END IF;
    IF known IS NOT NULL THEN
        RAISE EXCEPTION 'an open call is an event already: %', known USING ERRCODE = 'JS001';
    END IF;
    RETURN QUERY SELECT * FROM gateway_settle(p_now, p_customers, p_calls, p_attempts, p_aliases);
END $$;
ALTER FUNCTION gateway_finish(timestamptz, text[], json, bigint[], date[], bigint, jsonb, jsonb, jsonb)
    SET enable_seqscan = off;
ALTER FUNCTION gateway_finish(timestamptz, text[], json, bigint[], date[], bigint, jsonb, jsonb, jsonb)
    SET plan_cache_mode = force_generic_plan;
"""


class Migration(migrations.Migration):
    dependencies = [("gateway", "0004_settle_faster"), ("usage", "0011_store_events")]
    operations = [migrations.RunSQL(FINISH)]
