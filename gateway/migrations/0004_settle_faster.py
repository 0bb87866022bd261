"""Settlement is told what the events cost and which rows to lock, instead of looking for them."""

from django.db import migrations

SETTLE = """
DROP FUNCTION gateway_settle(timestamptz, jsonb, jsonb);
-- The calls are locked by whoever calls this, and their events are stored in the same transaction. What comes after a call
-- was given up (failed, lost) is billed all the same: its hold is gone already, and its idempotency key may be another
-- call's by now. One row at a time, because a join with the calls' table would be planned for the size it once had.
CREATE FUNCTION gateway_settle(
    p_now timestamptz, p_customers bigint[], p_calls jsonb, p_attempts jsonb, p_aliases jsonb)
RETURNS TABLE (settled_id text, billed boolean)
LANGUAGE plpgsql AS $$
DECLARE
    ended record;
    call gateway_call;
    customer bigint := -1;
    released_krw bigint := 0;
BEGIN
    PERFORM 1 FROM billing_spendingaccount AS account WHERE account.customer_id = ANY (p_customers)
    ORDER BY account.customer_id FOR NO KEY UPDATE;
    FOR ended IN
        SELECT * FROM jsonb_to_recordset(p_calls) AS one (
            call_id text, customer_id bigint, api_key_id bigint, was text, status text, event_id text,
            served_model text, dialect text, upstream_id bigint, upstream_generation_id text, finish_reason text,
            error_code text, answered_bytes bigint, answered_chunks bigint, finished_at timestamptz, flags text[],
            tokens bigint, next_ask_at timestamptz, cost_usd numeric)
        ORDER BY one.customer_id, one.api_key_id
    LOOP
        IF ended.customer_id <> customer THEN
            IF released_krw > 0 THEN
                UPDATE billing_spendingaccount SET held_krw = held_krw - released_krw WHERE customer_id = customer;
            END IF;
            customer := ended.customer_id;
            released_krw := 0;
        END IF;
        UPDATE gateway_call AS one SET
            status = ended.status, event_id = ended.event_id, served_model = ended.served_model, dialect = ended.dialect,
            upstream_id = coalesce(ended.upstream_id, one.upstream_id),
            upstream_generation_id = coalesce(ended.upstream_generation_id, one.upstream_generation_id),
            finish_reason = ended.finish_reason, error_code = ended.error_code, answered_bytes = ended.answered_bytes,
            answered_chunks = ended.answered_chunks, finished_at = ended.finished_at, settled_at = p_now,
            flags = ended.flags || CASE WHEN ended.cost_usd > one.hold_usd THEN '{over_hold}'::text[] ELSE '{}' END,
            cost_usd = ended.cost_usd, next_ask_at = ended.next_ask_at,
            is_billed = ended.event_id IS NOT NULL AND ended.cost_usd IS DISTINCT FROM 0,
            idempotency_key = CASE WHEN ended.was <> 'failed' THEN one.idempotency_key END
        WHERE one.call_id = ended.call_id RETURNING * INTO STRICT call;
        IF ended.was = 'open' THEN
            released_krw := released_krw + call.hold_krw;
        END IF;
        IF call.is_metered THEN
            UPDATE gateway_keymeter AS meter SET
                open_calls = meter.open_calls - (ended.was = 'open')::int,
                held_usd = meter.held_usd - CASE WHEN ended.was = 'open' THEN call.hold_usd ELSE 0 END,
                spent_usd = meter.spent_usd + CASE
                    WHEN (call.started_at AT TIME ZONE 'Asia/Seoul')::date >= meter.month
                    THEN coalesce(call.cost_usd, 0) ELSE 0 END,
                tokens = greatest(0, meter.tokens + CASE
                    WHEN ended.was = 'open' AND call.minute_at = meter.minute_at
                    THEN ended.tokens - call.hold_tokens ELSE 0 END)
            WHERE meter.api_key_id = call.api_key_id;
        END IF;
        settled_id := call.call_id;
        billed := call.is_billed;
        RETURN NEXT;
    END LOOP;
    IF released_krw > 0 THEN
        UPDATE billing_spendingaccount SET held_krw = held_krw - released_krw WHERE customer_id = customer;
    END IF;

    IF p_attempts <> '[]' THEN
        INSERT INTO gateway_callattempt (
            call_id, number, upstream_id, key_id, started_at, first_byte_at, status, error_code, upstream_generation_id)
        SELECT * FROM jsonb_to_recordset(p_attempts) AS tried (
            call_id text, number smallint, upstream_id bigint, key_id bigint, started_at timestamptz,
            first_byte_at timestamptz, status smallint, error_code text, upstream_generation_id text)
        ON CONFLICT DO NOTHING;
    END IF;
    IF p_aliases <> '[]' THEN
        INSERT INTO usage_event_alias (customer_id, upstream_id, event_id)
        SELECT * FROM jsonb_to_recordset(p_aliases) AS named (customer_id bigint, upstream_id text, event_id text)
        ON CONFLICT DO NOTHING;
    END IF;
END $$;
"""

# A plan is kept for as long as a gateway's connection lives. Made while the tables are small it would read them whole for
# ever, so these functions always go by index; and they never plan again.
PLANS = "\n".join(
    f"ALTER FUNCTION {function} SET {setting};"
    for function in (
        "gateway_admit(timestamptz, timestamptz, jsonb)",
        "gateway_settle(timestamptz, bigint[], jsonb, jsonb, jsonb)",
    )
    for setting in (
        "plan_cache_mode = force_generic_plan",
        "enable_seqscan = off",
        "enable_hashjoin = off",
        "enable_mergejoin = off",
    )
)

# Django gives every text key a second index for LIKE; nobody looks for the beginning of an id.
NO_LIKE = """
DO $$
DECLARE
    found text;
BEGIN
    FOR found IN SELECT indexname FROM pg_indexes WHERE tablename = 'gateway_call' AND indexname LIKE '%\\_like' LOOP
        EXECUTE format('DROP INDEX %I', found);
    END LOOP;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("gateway", "0003_upstream_health_is_counted")]
    operations = [
        migrations.RunSQL(SETTLE),
        migrations.RunSQL(PLANS),
        migrations.RunSQL(NO_LIKE),
        migrations.RemoveIndex(model_name="gatewaycall", name="gateway_call_by_customer"),
    ]
