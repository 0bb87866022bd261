"""Admission and settlement of a group of calls, each in one round trip.

Both lock in one order: accounts by customer, and under each its meters by key.
"""

from django.db import migrations

HELPERS = """
-- Takes so much more of a customer's money, or fails: the room was computed under the row's lock.
CREATE FUNCTION gateway_hold(p_customer bigint, p_krw bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE billing_spendingaccount SET held_krw = held_krw + p_krw
    WHERE customer_id = p_customer
      AND ((credit_limit_krw IS NULL AND NOT is_prepaid)
           OR coalesce(credit_limit_krw, 0) + prepaid_krw + promotional_krw - receivable_krw - unbilled_krw - held_krw
              >= p_krw);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'customer % has not % won', p_customer, p_krw;
    END IF;
END $$;

CREATE FUNCTION gateway_write_meter(meter gateway_keymeter) RETURNS void LANGUAGE sql AS $$
    UPDATE gateway_keymeter SET
        minute_at = (meter).minute_at, requests = (meter).requests, tokens = (meter).tokens,
        open_calls = (meter).open_calls, month = (meter).month, spent_usd = (meter).spent_usd, held_usd = (meter).held_usd
    WHERE api_key_id = (meter).api_key_id
$$;

-- The meter of a key, locked and brought to this minute and month. Clocks of gateways differ: it never goes back.
CREATE FUNCTION gateway_read_meter(p_key bigint, p_customer bigint, p_now timestamptz) RETURNS gateway_keymeter
LANGUAGE plpgsql AS $$
DECLARE
    meter gateway_keymeter;
    this_minute timestamptz := date_trunc('minute', p_now);
    this_month date := date_trunc('month', p_now AT TIME ZONE 'Asia/Seoul')::date;
BEGIN
    SELECT * INTO meter FROM gateway_keymeter WHERE api_key_id = p_key FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        INSERT INTO gateway_keymeter (api_key_id, minute_at, requests, tokens, open_calls, month, spent_usd, held_usd)
        VALUES (p_key, this_minute, 0, 0, 0, '-infinity', 0, 0) ON CONFLICT DO NOTHING;
        SELECT * INTO STRICT meter FROM gateway_keymeter WHERE api_key_id = p_key FOR NO KEY UPDATE;
    END IF;
    IF meter.minute_at < this_minute THEN
        meter.minute_at := this_minute;
        meter.requests := 0;
        meter.tokens := 0;
    END IF;
    IF meter.month < this_month THEN
        meter.month := this_month;
        SELECT coalesce(sum(cost_usd), 0) INTO meter.spent_usd FROM usage_usagerollup
        WHERE customer_id = p_customer AND api_key_id = p_key AND day >= this_month;
    END IF;
    RETURN meter;
END $$;
"""

ADMIT = """
CREATE FUNCTION gateway_admit(p_now timestamptz, p_lease_until timestamptz, p_calls jsonb)
RETURNS TABLE (place integer, verdict text, available_krw numeric, factor numeric, rpm_limit bigint, rpm_left bigint,
               tpm_limit bigint, tpm_left bigint, key_left_usd numeric, first_id text)
LANGUAGE plpgsql AS $$
DECLARE
    call record;
    account billing_spendingaccount;
    meter gateway_keymeter;
    customer bigint := -1;
    key bigint := -1;
    is_metered boolean := false;
    is_bounded boolean;
    taken_krw bigint := 0;
BEGIN
    FOR call IN
        SELECT asked.*, api_key.id AS known_key, api_key.revoked_at, api_key.expires_at, api_key.rpm_limit AS rpm,
               api_key.tpm_limit AS tpm, api_key.concurrency_limit AS concurrency, api_key.monthly_limit_usd AS monthly,
               api_key.allowed_ips, owner.status AS owner_status, owner.enabled_providers, owner.allowed_models
        FROM jsonb_to_recordset(p_calls) AS asked (
            place integer, call_id text, customer_id bigint, api_key_id bigint, route text, dialect text, is_stream boolean,
            requested_model text, app_title text, app_referer text, idempotency_key text, started_at timestamptz,
            hold_krw bigint, hold_usd numeric, hold_tokens bigint, prompt_bytes bigint, granted_tokens bigint,
            factor numeric, providers text[], model_ids text[], client_ip text, instance text)
        LEFT JOIN accounts_apikey AS api_key
          ON api_key.id = asked.api_key_id AND api_key.customer_id = asked.customer_id AND api_key.scope = 'customer'
        LEFT JOIN accounts_customer AS owner ON owner.id = asked.customer_id
        ORDER BY asked.customer_id, asked.api_key_id, asked.place
    LOOP
        IF call.api_key_id <> key OR call.customer_id <> customer THEN
            IF is_metered THEN
                PERFORM gateway_write_meter(meter);
            END IF;
            is_metered := false;
        END IF;
        IF call.customer_id <> customer THEN
            IF taken_krw > 0 THEN
                PERFORM gateway_hold(customer, taken_krw);
            END IF;
            customer := call.customer_id;
            key := -1;
            taken_krw := 0;
            SELECT * INTO account FROM billing_spendingaccount WHERE customer_id = customer FOR NO KEY UPDATE;
            is_bounded := account.is_prepaid OR account.credit_limit_krw IS NOT NULL;
        END IF;
        IF call.api_key_id <> key THEN
            key := call.api_key_id;
            is_metered := num_nonnulls(call.rpm, call.tpm, call.concurrency, call.monthly) > 0;
            IF is_metered THEN
                meter := gateway_read_meter(key, customer, p_now);
            END IF;
        END IF;
        place := call.place;
        factor := account.factor_krw_per_usd;
        first_id := NULL;
        available_krw := NULL;
        IF is_bounded THEN
            available_krw := coalesce(account.credit_limit_krw, 0) + account.prepaid_krw + account.promotional_krw
                - account.receivable_krw - account.unbilled_krw - account.held_krw - taken_krw;
        END IF;
        key_left_usd := call.monthly - meter.spent_usd - meter.held_usd;
        IF call.idempotency_key IS NOT NULL THEN
            SELECT earlier.call_id INTO first_id FROM gateway_call AS earlier
            WHERE earlier.customer_id = customer AND earlier.idempotency_key = call.idempotency_key
              AND earlier.status <> 'failed';
        END IF;
        verdict := CASE
            WHEN call.known_key IS NULL OR call.revoked_at IS NOT NULL OR call.expires_at <= p_now THEN 'key'
            WHEN call.owner_status <> 'active' THEN 'customer'
            WHEN call.allowed_ips IS NOT NULL AND (call.client_ip = '' OR NOT EXISTS (
                SELECT FROM unnest(call.allowed_ips) AS network WHERE call.client_ip::inet <<= network::inet)) THEN 'address'
            WHEN NOT (call.enabled_providers IS NULL OR call.providers <@ call.enabled_providers::text[])
              OR NOT (call.allowed_models IS NULL OR call.model_ids <@ call.allowed_models::text[]) THEN 'model'
            WHEN first_id IS NOT NULL THEN 'repeated'
            WHEN account.customer_id IS NULL OR call.factor IS DISTINCT FROM factor THEN 'factor'
            WHEN is_bounded AND factor IS NULL THEN 'no_rate'
            WHEN meter.requests >= call.rpm THEN 'rpm'
            WHEN meter.open_calls >= call.concurrency THEN 'concurrency'
            WHEN meter.tokens + call.hold_tokens > call.tpm THEN 'tpm'
            WHEN key_left_usd < call.hold_usd THEN 'key_limit'
            WHEN available_krw < call.hold_krw THEN 'balance'
            ELSE 'admitted' END;
        IF verdict = 'admitted' THEN
            INSERT INTO gateway_call (
                call_id, customer_id, api_key_id, status, route, dialect, is_stream, requested_model, served_model,
                app_title, app_referer, idempotency_key, started_at, hold_krw, hold_usd, hold_tokens, prompt_bytes,
                granted_tokens, is_metered, minute_at, instance, lease_until, finish_reason, error_code, answered_bytes,
                answered_chunks, is_billed, flags, asks)
            VALUES (
                call.call_id, customer, key, 'open', call.route, call.dialect, call.is_stream, call.requested_model, '',
                call.app_title, call.app_referer, call.idempotency_key, call.started_at, call.hold_krw, call.hold_usd,
                call.hold_tokens, call.prompt_bytes, call.granted_tokens, is_metered,
                CASE WHEN is_metered THEN meter.minute_at END, call.instance, p_lease_until, '', '', 0, 0, false, '{}', 0);
            taken_krw := taken_krw + call.hold_krw;
            IF is_metered THEN
                meter.requests := meter.requests + 1;
                meter.tokens := meter.tokens + call.hold_tokens;
                meter.open_calls := meter.open_calls + 1;
                meter.held_usd := meter.held_usd + call.hold_usd;
            END IF;
        END IF;
        rpm_limit := call.rpm;
        rpm_left := call.rpm - meter.requests;
        tpm_limit := call.tpm;
        tpm_left := call.tpm - meter.tokens;
        RETURN NEXT;
    END LOOP;
    IF is_metered THEN
        PERFORM gateway_write_meter(meter);
    END IF;
    IF taken_krw > 0 THEN
        PERFORM gateway_hold(customer, taken_krw);
    END IF;
END $$;
"""

SETTLE = """
-- The calls are locked by whoever calls this, and their events are stored in the same transaction. What comes after the
-- call was given up (failed, lost) is billed all the same: its hold is gone already, and its idempotency key may be
-- another call's by now.
CREATE FUNCTION gateway_settle(p_now timestamptz, p_calls jsonb, p_attempts jsonb)
RETURNS TABLE (settled_id text, cost numeric, billed boolean)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM billing_spendingaccount AS account
    WHERE account.customer_id IN (SELECT (one ->> 'customer_id')::bigint FROM jsonb_array_elements(p_calls) AS one)
    ORDER BY account.customer_id FOR NO KEY UPDATE;
    PERFORM 1 FROM gateway_keymeter AS meter JOIN accounts_apikey AS api_key ON api_key.id = meter.api_key_id
    WHERE meter.api_key_id IN (SELECT (one ->> 'api_key_id')::bigint FROM jsonb_array_elements(p_calls) AS one)
    ORDER BY api_key.customer_id, meter.api_key_id FOR NO KEY UPDATE OF meter;

    INSERT INTO gateway_callattempt (
        call_id, number, upstream_id, key_id, started_at, first_byte_at, status, error_code, upstream_generation_id)
    SELECT * FROM jsonb_to_recordset(p_attempts) AS tried (
        call_id text, number smallint, upstream_id bigint, key_id bigint, started_at timestamptz,
        first_byte_at timestamptz, status smallint, error_code text, upstream_generation_id text)
    ON CONFLICT DO NOTHING;

    RETURN QUERY
    WITH ended AS (
        SELECT * FROM jsonb_to_recordset(p_calls) AS ended (
            call_id text, status text, event_id text, served_model text, dialect text, upstream_id bigint,
            upstream_generation_id text, finish_reason text, error_code text, answered_bytes bigint,
            answered_chunks bigint, finished_at timestamptz, flags text[], tokens bigint, next_ask_at timestamptz)
    ), done AS (
        UPDATE gateway_call AS call SET
            status = ended.status, event_id = ended.event_id, served_model = ended.served_model, dialect = ended.dialect,
            upstream_id = coalesce(ended.upstream_id, call.upstream_id),
            upstream_generation_id = coalesce(ended.upstream_generation_id, call.upstream_generation_id),
            finish_reason = ended.finish_reason, error_code = ended.error_code, answered_bytes = ended.answered_bytes,
            answered_chunks = ended.answered_chunks, finished_at = ended.finished_at, settled_at = p_now,
            flags = ended.flags || CASE WHEN event.cost_usd > call.hold_usd THEN '{over_hold}'::text[] ELSE '{}' END,
            cost_usd = event.cost_usd, next_ask_at = ended.next_ask_at,
            is_billed = event.event_id IS NOT NULL AND event.cost_usd IS DISTINCT FROM 0,
            idempotency_key = CASE WHEN opened.status <> 'failed' THEN call.idempotency_key END
        FROM ended
        JOIN gateway_call AS opened ON opened.call_id = ended.call_id
        LEFT JOIN usage_event AS event ON event.customer_id = opened.customer_id
              AND event.occurred_at = opened.started_at AND event.event_id = ended.event_id
        WHERE call.call_id = ended.call_id AND opened.status IN ('open', 'failed', 'lost')
        RETURNING call.*, ended.tokens, opened.status = 'open' AS was_open
    ), released AS (
        UPDATE billing_spendingaccount AS account SET held_krw = account.held_krw - gone.krw
        FROM (SELECT customer_id, sum(hold_krw) AS krw FROM done WHERE was_open GROUP BY customer_id) AS gone
        WHERE account.customer_id = gone.customer_id AND gone.krw > 0
    ), metered AS (
        UPDATE gateway_keymeter AS meter SET
            open_calls = meter.open_calls - gone.calls, held_usd = meter.held_usd - gone.held_usd,
            spent_usd = meter.spent_usd + gone.spent_usd,
            tokens = greatest(meter.tokens + gone.tokens, 0)
        FROM (
            SELECT done.api_key_id, count(*) FILTER (WHERE was_open) AS calls,
                   coalesce(sum(done.hold_usd) FILTER (WHERE was_open), 0) AS held_usd,
                   coalesce(sum(done.cost_usd) FILTER (
                       WHERE (done.started_at AT TIME ZONE 'Asia/Seoul')::date >= counted.month), 0) AS spent_usd,
                   coalesce(sum(done.tokens - done.hold_tokens) FILTER (
                       WHERE was_open AND done.minute_at = counted.minute_at), 0) AS tokens
            FROM done JOIN gateway_keymeter AS counted USING (api_key_id) WHERE done.is_metered GROUP BY done.api_key_id
        ) AS gone
        WHERE meter.api_key_id = gone.api_key_id
    ), known AS (
        INSERT INTO usage_event_alias (customer_id, upstream_id, event_id)
        SELECT done.customer_id, done.upstream_generation_id, done.event_id FROM done
        WHERE done.event_id IS NOT NULL AND done.upstream_generation_id <> done.event_id
        ON CONFLICT DO NOTHING
    )
    SELECT done.call_id::text, done.cost_usd::numeric, done.is_billed FROM done;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0001_calls"),
        ("accounts", "0005_key_limits"),
        ("billing", "0008_spending"),
        ("usage", "0005_upstream_ids"),
    ]
    operations = [migrations.RunSQL(sql) for sql in (HELPERS, ADMIT, SETTLE)]
