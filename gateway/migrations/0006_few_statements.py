"""A group of calls is written by few statements: what a statement needs before its first row costs more than a row.

The attempts of a call stand in its row and are read as rows of a view. Indexes, checks and plans of an own table for them,
for what is one attempt nearly always, cost as much as the event.
"""

from django.db import migrations, models

ATTEMPTS = """
UPDATE gateway_call AS call SET attempts = tried.attempts
FROM (SELECT call_id, jsonb_agg(to_jsonb(attempt) - 'id' - 'call_id' ORDER BY number) AS attempts
      FROM gateway_callattempt AS attempt GROUP BY call_id) AS tried
WHERE call.call_id = tried.call_id;
DROP TABLE gateway_callattempt;
CREATE VIEW gateway_callattempt AS
SELECT call.call_id || '#' || tried.number AS id, call.call_id, tried.*
FROM gateway_call AS call
CROSS JOIN LATERAL jsonb_to_recordset(call.attempts) AS tried (
    number smallint, upstream_id bigint, key_id bigint, started_at timestamptz, first_byte_at timestamptz, status smallint,
    error_code text, upstream_generation_id text);
"""

READ_METER = """
DROP FUNCTION gateway_hold(bigint, bigint);
DROP FUNCTION gateway_write_meter(gateway_keymeter);
"""

# Whatever of a verdict hangs on nothing that the group itself changes is said by the query; the loop counts what is left.
# Accounts and keys are read after the accounts are locked. All calls are written at once, after the last verdict: nobody
# else sees a half of it, and of two calls with one idempotency key the second finds the first in the loop's own list.
ADMIT = """
CREATE TYPE gateway_asked AS (
    place integer, call_id text, customer_id bigint, api_key_id bigint, route text, dialect text, is_stream boolean,
    requested_model text, app_title text, app_referer text, idempotency_key text, started_at timestamptz,
    hold_krw bigint, hold_usd numeric, hold_tokens bigint, prompt_bytes bigint, granted_tokens bigint,
    factor numeric, providers text[], model_ids text[], client_ip text, instance text);

DROP FUNCTION gateway_admit(timestamptz, timestamptz, jsonb);
CREATE FUNCTION gateway_admit(p_now timestamptz, p_lease_until timestamptz, p_customers bigint[], p_calls json)
RETURNS TABLE (place integer, verdict text, available_krw numeric, factor numeric, rpm_limit bigint, rpm_left bigint,
               tpm_limit bigint, tpm_left bigint, key_left_usd numeric, first_id text)
LANGUAGE plpgsql AS $$
DECLARE
    call record;
    meter gateway_keymeter;
    meters gateway_keymeter[];
    customer bigint := -1;
    key bigint := -1;
    is_metered boolean := false;
    taken_krw bigint := 0;
    holders bigint[];
    holds bigint[];
    admitted gateway_asked[];
    counted boolean[];
    minutes timestamptz[];
    once text[];
    once_ids text[];
    written bigint;
BEGIN
    PERFORM 1 FROM billing_spendingaccount WHERE customer_id = ANY (p_customers) ORDER BY customer_id FOR NO KEY UPDATE;
    FOR call IN
        SELECT asked.place, asked.customer_id, asked.api_key_id, asked.idempotency_key, asked.call_id, asked.hold_krw,
               asked.hold_usd, asked.hold_tokens, asked AS row, api_key.rpm_limit AS rpm, api_key.tpm_limit AS tpm,
               api_key.concurrency_limit AS concurrency, api_key.monthly_limit_usd AS monthly,
               num_nonnulls(api_key.rpm_limit, api_key.tpm_limit, api_key.concurrency_limit, api_key.monthly_limit_usd) > 0
                   AS is_metered,
               account.factor_krw_per_usd,
               account.customer_id IS NULL OR asked.factor IS DISTINCT FROM account.factor_krw_per_usd AS is_stale,
               account.is_prepaid OR account.credit_limit_krw IS NOT NULL AS is_bounded,
               CASE WHEN account.is_prepaid OR account.credit_limit_krw IS NOT NULL
                   THEN coalesce(account.credit_limit_krw, 0) + account.prepaid_krw + account.promotional_krw
                        - account.receivable_krw - account.unbilled_krw - account.held_krw END AS room_krw,
               CASE
                   WHEN api_key.id IS NULL OR api_key.revoked_at IS NOT NULL OR api_key.expires_at <= p_now THEN 'key'
                   WHEN owner.status <> 'active' THEN 'customer'
                   WHEN api_key.allowed_ips IS NOT NULL AND (asked.client_ip = '' OR NOT (
                       asked.client_ip::inet <<= ANY (api_key.allowed_ips::text[]::inet[]))) THEN 'address'
                   WHEN NOT (owner.enabled_providers IS NULL OR asked.providers <@ owner.enabled_providers::text[])
                     OR NOT (owner.allowed_models IS NULL OR asked.model_ids <@ owner.allowed_models::text[]) THEN 'model'
               END AS refusal
        FROM json_populate_recordset(NULL::gateway_asked, p_calls) AS asked
        LEFT JOIN accounts_apikey AS api_key
          ON api_key.id = asked.api_key_id AND api_key.customer_id = asked.customer_id AND api_key.scope = 'customer'
        LEFT JOIN accounts_customer AS owner ON owner.id = asked.customer_id
        LEFT JOIN billing_spendingaccount AS account ON account.customer_id = asked.customer_id
        ORDER BY asked.customer_id, asked.api_key_id, asked.place
    LOOP
        IF call.api_key_id <> key OR call.customer_id <> customer THEN
            IF is_metered THEN
                meters := meters || meter;
            END IF;
            is_metered := call.is_metered;
            IF is_metered THEN
                meter := gateway_read_meter(call.api_key_id, call.customer_id, p_now);
            END IF;
            key := call.api_key_id;
        END IF;
        IF call.customer_id <> customer THEN
            IF taken_krw > 0 THEN
                holders := holders || customer;
                holds := holds || taken_krw;
            END IF;
            customer := call.customer_id;
            taken_krw := 0;
            once := NULL;
            once_ids := NULL;
        END IF;
        place := call.place;
        factor := call.factor_krw_per_usd;
        available_krw := call.room_krw - taken_krw;
        key_left_usd := CASE WHEN is_metered THEN call.monthly - meter.spent_usd - meter.held_usd END;
        first_id := NULL;
        IF call.idempotency_key IS NOT NULL THEN
            first_id := once_ids[array_position(once, call.idempotency_key)];
            IF first_id IS NULL THEN
                SELECT earlier.call_id INTO first_id FROM gateway_call AS earlier
                WHERE earlier.customer_id = customer AND earlier.idempotency_key = call.idempotency_key
                  AND earlier.status <> 'failed';
            END IF;
        END IF;
        verdict := CASE
            WHEN call.refusal IS NOT NULL THEN call.refusal
            WHEN first_id IS NOT NULL THEN 'repeated'
            WHEN call.is_stale THEN 'factor'
            WHEN call.is_bounded AND factor IS NULL THEN 'no_rate'
            WHEN is_metered AND meter.requests >= call.rpm THEN 'rpm'
            WHEN is_metered AND meter.open_calls >= call.concurrency THEN 'concurrency'
            WHEN is_metered AND meter.tokens + call.hold_tokens > call.tpm THEN 'tpm'
            WHEN key_left_usd < call.hold_usd THEN 'key_limit'
            WHEN available_krw < call.hold_krw THEN 'balance'
            ELSE 'admitted' END;
        IF verdict = 'admitted' THEN
            admitted := admitted || call.row;
            counted := counted || is_metered;
            minutes := minutes || CASE WHEN is_metered THEN meter.minute_at END;
            taken_krw := taken_krw + call.hold_krw;
            IF is_metered THEN
                meter.requests := meter.requests + 1;
                meter.tokens := meter.tokens + call.hold_tokens;
                meter.open_calls := meter.open_calls + 1;
                meter.held_usd := meter.held_usd + call.hold_usd;
            END IF;
            IF call.idempotency_key IS NOT NULL THEN
                once := once || call.idempotency_key;
                once_ids := once_ids || call.call_id;
            END IF;
        END IF;
        IF is_metered THEN
            rpm_limit := call.rpm;
            rpm_left := call.rpm - meter.requests;
            tpm_limit := call.tpm;
            tpm_left := call.tpm - meter.tokens;
        ELSE
            rpm_limit := NULL;
            rpm_left := NULL;
            tpm_limit := NULL;
            tpm_left := NULL;
        END IF;
        RETURN NEXT;
    END LOOP;
    IF is_metered THEN
        meters := meters || meter;
    END IF;
    IF taken_krw > 0 THEN
        holders := holders || customer;
        holds := holds || taken_krw;
    END IF;
    IF admitted IS NOT NULL THEN
        INSERT INTO gateway_call (
            call_id, customer_id, api_key_id, status, route, dialect, is_stream, requested_model, served_model, app_title,
            app_referer, idempotency_key, started_at, hold_krw, hold_usd, hold_tokens, prompt_bytes, granted_tokens,
            is_metered, minute_at, instance, lease_until, finish_reason, error_code, answered_bytes, answered_chunks,
            is_billed, flags, asks)
        SELECT one.call_id, one.customer_id, one.api_key_id, 'open', one.route, one.dialect, one.is_stream,
               one.requested_model, '', one.app_title, one.app_referer, one.idempotency_key, one.started_at, one.hold_krw,
               one.hold_usd, one.hold_tokens, one.prompt_bytes, one.granted_tokens, one.is_metered, one.minute_at,
               one.instance, p_lease_until, '', '', 0, 0, false, '{}', 0
        FROM unnest(admitted, counted, minutes) AS one (
            place, call_id, customer_id, api_key_id, route, dialect, is_stream, requested_model, app_title, app_referer,
            idempotency_key, started_at, hold_krw, hold_usd, hold_tokens, prompt_bytes, granted_tokens, factor, providers,
            model_ids, client_ip, instance, is_metered, minute_at);
    END IF;
    IF meters IS NOT NULL THEN
        UPDATE gateway_keymeter AS kept SET
            minute_at = one.minute_at, requests = one.requests, tokens = one.tokens, open_calls = one.open_calls,
            month = one.month, spent_usd = one.spent_usd, held_usd = one.held_usd
        FROM unnest(meters) AS one WHERE kept.api_key_id = one.api_key_id;
    END IF;
    IF holders IS NOT NULL THEN
        -- The room was computed under the rows' locks; the condition is there for whoever changes this function.
        UPDATE billing_spendingaccount AS account SET held_krw = account.held_krw + taken.krw
        FROM unnest(holders, holds) AS taken (customer_id, krw)
        WHERE account.customer_id = taken.customer_id
          AND ((account.credit_limit_krw IS NULL AND NOT account.is_prepaid)
               OR coalesce(account.credit_limit_krw, 0) + account.prepaid_krw + account.promotional_krw
                  - account.receivable_krw - account.unbilled_krw - account.held_krw >= taken.krw);
        GET DIAGNOSTICS written = ROW_COUNT;
        IF written <> cardinality(holders) THEN
            RAISE EXCEPTION 'not all of the customers % have % won', holders, holds;
        END IF;
    END IF;
END $$;
"""

# The calls change first, so that they are locked before anything that other writers wait on; accounts and meters last.
# `was` is the status that whoever asks believes each call to have.
WRITE_CALLS = """
    WITH ended AS (
        UPDATE gateway_call AS call SET
            status = told.status, event_id = told.event_id, served_model = told.served_model, dialect = told.dialect,
            upstream_id = coalesce(told.upstream_id, call.upstream_id),
            upstream_generation_id = coalesce(told.upstream_generation_id, call.upstream_generation_id),
            finish_reason = told.finish_reason, error_code = told.error_code, answered_bytes = told.answered_bytes,
            answered_chunks = told.answered_chunks, finished_at = told.finished_at, settled_at = p_now,
            flags = told.flags || CASE WHEN told.cost_usd > call.hold_usd THEN '{over_hold}'::text[] ELSE '{}' END,
            cost_usd = told.cost_usd, next_ask_at = told.next_ask_at,
            is_billed = told.event_id IS NOT NULL AND told.cost_usd IS DISTINCT FROM 0,
            idempotency_key = CASE WHEN told.was <> 'failed' THEN call.idempotency_key END,
            attempts = coalesce(call.attempts, told.attempts)
        FROM (SELECT * FROM json_to_recordset(p_calls) AS one (
                  call_id text, was text, status text, event_id text, served_model text, dialect text, upstream_id bigint,
                  upstream_generation_id text, finish_reason text, error_code text, answered_bytes bigint,
                  answered_chunks bigint, finished_at timestamptz, flags text[], tokens bigint, next_ask_at timestamptz,
                  cost_usd numeric, attempts jsonb)
              ORDER BY one.call_id) AS told
        WHERE call.call_id = told.call_id AND call.call_id = ANY (p_ids) AND call.status = told.was
        RETURNING call.call_id, call.is_billed, call.customer_id, told.was = 'open' AS was_open, call.hold_krw,
                  CASE WHEN call.is_metered THEN call.api_key_id END AS metered_key_id, call.hold_usd,
                  told.tokens - call.hold_tokens AS more_tokens, call.minute_at, call.started_at, call.cost_usd,
                  told.event_id,
                  CASE WHEN told.upstream_generation_id <> told.event_id THEN told.upstream_generation_id END AS alias
    )
    SELECT count(*), array_agg((
               ended.call_id, ended.is_billed, customer_id, was_open, CASE WHEN was_open THEN hold_krw ELSE 0 END,
               metered_key_id, CASE WHEN was_open THEN hold_usd ELSE 0 END,
               CASE WHEN was_open THEN more_tokens ELSE 0 END, minute_at, started_at, cost_usd, event_id,
               alias)::gateway_ended),
           bool_or(metered_key_id IS NOT NULL), bool_or(alias IS NOT NULL)
    INTO written, calls, some_metered, some_named FROM ended;
"""
RELEASE = """
    IF cardinality(p_customers) > 1 THEN
        PERFORM 1 FROM billing_spendingaccount WHERE customer_id = ANY (p_customers) ORDER BY customer_id
        FOR NO KEY UPDATE;
    END IF;
    UPDATE billing_spendingaccount AS account SET held_krw = account.held_krw - gone.krw
    FROM (SELECT customer_id, sum(hold_krw)::bigint AS krw FROM unnest(calls) GROUP BY customer_id) AS gone
    WHERE account.customer_id = gone.customer_id;
    IF some_metered THEN
        -- A recount locks a meter without its account: which month and minute it counts is read after that.
        PERFORM 1 FROM gateway_keymeter
        WHERE api_key_id = ANY (ARRAY(SELECT one.metered_key_id FROM unnest(calls) AS one))
        ORDER BY api_key_id FOR NO KEY UPDATE;
        UPDATE gateway_keymeter AS meter SET
            open_calls = meter.open_calls - gone.calls, held_usd = meter.held_usd - gone.held_usd,
            spent_usd = meter.spent_usd + gone.spent_usd, tokens = greatest(0, meter.tokens + gone.more_tokens)
        FROM (SELECT one.metered_key_id, count(*) FILTER (WHERE one.was_open) AS calls, sum(one.hold_usd) AS held_usd,
                     coalesce(sum(one.cost_usd) FILTER (
                         WHERE (one.started_at AT TIME ZONE 'Asia/Seoul')::date >= counted.month), 0) AS spent_usd,
                     coalesce(sum(one.more_tokens) FILTER (WHERE one.minute_at = counted.minute_at), 0) AS more_tokens
              FROM unnest(calls) AS one JOIN gateway_keymeter AS counted ON counted.api_key_id = one.metered_key_id
              GROUP BY one.metered_key_id) AS gone
        WHERE meter.api_key_id = gone.metered_key_id;
    END IF;
    IF some_named THEN
        INSERT INTO usage_event_alias (customer_id, upstream_id, event_id)
        SELECT one.customer_id, one.alias, one.event_id FROM unnest(calls) AS one WHERE one.alias IS NOT NULL
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN QUERY SELECT one.call_id, one.is_billed FROM unnest(calls) AS one;
"""
DECLARED = """
    calls gateway_ended[];
    written bigint;
    some_metered boolean;
    some_named boolean;
"""
SETTLE = f"""
CREATE TYPE gateway_ended AS (
    call_id text, is_billed boolean, customer_id bigint, was_open boolean, hold_krw bigint, metered_key_id bigint,
    hold_usd numeric, more_tokens bigint, minute_at timestamptz, started_at timestamptz, cost_usd numeric, event_id text,
    alias text);

DROP FUNCTION gateway_settle(timestamptz, bigint[], jsonb, jsonb, jsonb);
-- The calls are locked by whoever calls this, and their events are stored in the same transaction. What comes after a call
-- was given up (failed, lost) is billed all the same: its hold is gone already, and its idempotency key may be another
-- call's by now.
CREATE FUNCTION gateway_settle(p_now timestamptz, p_ids text[], p_customers bigint[], p_calls json)
RETURNS TABLE (settled_id text, billed boolean) LANGUAGE plpgsql AS $$
DECLARE{DECLARED}BEGIN{WRITE_CALLS}
    IF written <> cardinality(p_ids) THEN
        RAISE EXCEPTION '% of the calls % are as they were said to be', written, p_ids;
    END IF;{RELEASE}END $$;
"""
FINISH = f"""
DROP FUNCTION gateway_finish(timestamptz, text[], json, bigint[], date[], bigint, jsonb, jsonb, jsonb);
CREATE FUNCTION gateway_finish(
    p_now timestamptz, p_ids text[], p_rows json, p_customers bigint[], p_months date[], p_catalog bigint, p_calls json)
RETURNS TABLE (settled_id text, billed boolean) LANGUAGE plpgsql AS $$
DECLARE{DECLARED}    is_current boolean;
    known text;
BEGIN{WRITE_CALLS}    IF written < cardinality(p_ids) THEN
        RAISE EXCEPTION 'not all of these calls are open' USING ERRCODE = 'JS001';
    END IF;
    SELECT stored.is_current, stored.known INTO is_current, known
    FROM usage_store_events(p_rows, p_customers, p_months, p_now, p_catalog) AS stored;
    IF NOT is_current OR known IS NOT NULL THEN
        RAISE EXCEPTION 'other prices, or an event already' USING ERRCODE = 'JS001';
    END IF;{RELEASE}EXCEPTION
    WHEN SQLSTATE 'JS001' THEN
        RETURN;  -- and all of it is undone
END $$;
"""

# A plan is kept for as long as a gateway's connection lives. Made while the tables are small it would read them whole for
# ever, so these functions always go by index; and they never plan again.
PLANS = "\n".join(
    f"ALTER FUNCTION {function} SET {setting};"
    for function in (
        "gateway_admit(timestamptz, timestamptz, bigint[], json)",
        "gateway_settle(timestamptz, text[], bigint[], json)",
        "gateway_finish(timestamptz, text[], json, bigint[], date[], bigint, json)",
    )
    for setting in (
        "plan_cache_mode = force_generic_plan",
        "enable_seqscan = off",
        "enable_hashjoin = off",
        "enable_mergejoin = off",
    )
)


_ATTEMPT = migrations.CreateModel(
    name="CallAttempt",
    fields=[
        ("id", models.CharField(max_length=80, primary_key=True, serialize=False)),
        ("number", models.PositiveSmallIntegerField(verbose_name="number")),
        ("started_at", models.DateTimeField(verbose_name="started")),
        ("first_byte_at", models.DateTimeField(blank=True, null=True, verbose_name="first byte")),
        ("status", models.PositiveSmallIntegerField(blank=True, null=True, verbose_name="HTTP status")),
        ("error_code", models.CharField(blank=True, max_length=60, verbose_name="error")),
        (
            "upstream_generation_id",
            models.CharField(blank=True, max_length=200, null=True, verbose_name="upstream's id"),
        ),
    ],
    options={
        "verbose_name": "attempt",
        "verbose_name_plural": "attempts",
        "db_table": "gateway_callattempt",
        "ordering": ["call", "number"],
        "managed": False,
    },
)


class Migration(migrations.Migration):
    dependencies = [("gateway", "0005_finish"), ("billing", "0017_margins_by_model"), ("accounts", "0006_names_stay")]
    operations = [
        migrations.AddField(
            model_name="gatewaycall",
            name="attempts",
            field=models.JSONField(editable=False, null=True, verbose_name="attempts"),
        ),
        migrations.RunSQL(ATTEMPTS, state_operations=[migrations.DeleteModel(name="CallAttempt"), _ATTEMPT]),
        *(migrations.RunSQL(sql) for sql in (READ_METER, ADMIT, SETTLE, FINISH, PLANS)),
    ]
