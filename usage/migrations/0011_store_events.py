"""Storing a batch of priced events is one statement: what is new enters with its sums, what was known is told.

A few events come as JSON, in the statement itself; many come by COPY into a temporary table, which is read the same way.
"""

from django.db import migrations

MONTH = """
CREATE FUNCTION usage_billing_month(payer bigint, own date) RETURNS date LANGUAGE plpgsql STABLE AS $$
BEGIN
    WHILE EXISTS (SELECT FROM usage_billingperiod WHERE customer_id = payer AND month = own AND status = 'closed') LOOP
        own := own + interval '1 month';
    END LOOP;
    RETURN own;
END $$;
"""
# What is closed is read once the locks are held, and stays so: usage.services.locking. Another transaction that holds the
# same id is waited for; afterwards the id is ours, or committed by the other, whose hash only a later statement can read.
# PostgreSQL runs the parts that nobody reads from the last to the first: the sums, on which other writers wait, come last.
STORE = """
CREATE FUNCTION {name}({arguments}customers bigint[], months date[], received timestamptz, catalog bigint,
                       OUT is_current boolean, OUT known text) LANGUAGE plpgsql AS $$
DECLARE
    some_closed boolean;
    others jsonb;
BEGIN
    is_current := (SELECT version = catalog FROM catalog_version);
    IF NOT is_current THEN
        RETURN;
    END IF;
    PERFORM usage_ensure_partition(month) FROM unnest(months) AS month;
    PERFORM pg_advisory_xact_lock_shared(1, customer::int) FROM unnest(customers) AS customer;
    some_closed := EXISTS (SELECT FROM usage_billingperiod AS period
                           WHERE period.customer_id = ANY (customers) AND period.month = ANY (months)
                             AND period.status = 'closed');
    WITH sent AS MATERIALIZED (
        {source}
    ), claimed AS (
        INSERT INTO usage_event_key (customer_id, event_id, body_hash, occurred_at)
        SELECT customer_id, event_id, decode(body_hash, 'hex'), occurred_at FROM sent
        ON CONFLICT DO NOTHING
        RETURNING customer_id, event_id
    ), fresh AS MATERIALIZED (
        SELECT sent.*, CASE WHEN some_closed THEN usage_billing_month(customer_id, month) ELSE month END AS billing_month
        FROM sent JOIN claimed USING (customer_id, event_id)
    ), hours AS (
        INSERT INTO usage_usagehour AS kept (
            customer_id, hour_at, billing_month, api_key_id, model_id, app_id, {sums})
        SELECT customer_id, date_trunc('hour', occurred_at, 'UTC') AS hour_at, billing_month, api_key_id, model_id, app_id,
               {summed}
        FROM fresh WHERE code IS NULL
        GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4 NULLS FIRST, 5, 6
        ON CONFLICT (customer_id, hour_at, billing_month, api_key_id, model_id, app_id) DO UPDATE SET {added}
    ), days AS (
        INSERT INTO usage_usagerollup AS kept (
            customer_id, billing_month, day, api_key_id, model_id, price_id, app_id, {sums}, {bases})
        SELECT customer_id, billing_month, (occurred_at AT TIME ZONE 'Asia/Seoul')::date AS day, api_key_id, model_id,
               price_id, app_id, {summed}, {based}
        FROM fresh WHERE code IS NULL
        GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4 NULLS FIRST, 5, 6, 7
        ON CONFLICT (customer_id, billing_month, day, api_key_id, model_id, price_id, app_id) DO UPDATE
        SET {added}, {bases_added}
    ), held AS (
        INSERT INTO usage_quarantinedevent (
            customer_id, event_id, occurred_at, billing_month, served_model, code, detail, status, created_at,
            resolved_by, resolution)
        SELECT customer_id, event_id, occurred_at, billing_month, served_model, code, detail, 'open', received, '', ''
        FROM fresh WHERE code IS NOT NULL
    ), stored AS (
        INSERT INTO usage_event (
            customer_id, event_id, occurred_at, received_at, billing_month, api_key_id, requested_model, served_model,
            dialect, usage, {counts}, flags, model_id, price_id, cost_usd, upstream_cost_usd, app_title, app_referer,
            body_hash)
        SELECT customer_id, event_id, occurred_at, received, billing_month, api_key_id, requested_model, served_model,
               dialect, usage, {counts}, flags, model_id, price_id, cost_usd, upstream_cost_usd, app_title, app_referer,
               decode(body_hash, 'hex')
        FROM fresh
    )
    SELECT jsonb_agg(jsonb_build_array(customer_id, event_id)) INTO others
    FROM sent WHERE NOT EXISTS (SELECT FROM claimed WHERE claimed.customer_id = sent.customer_id
                                AND claimed.event_id = sent.event_id);
    IF others IS NOT NULL THEN
        known := (SELECT json_agg(json_build_array(
                             other -> 0, other -> 1,
                             (SELECT encode(body_hash, 'hex') FROM usage_event_key
                              WHERE customer_id = (other ->> 0)::bigint AND event_id = other ->> 1)))
                  FROM jsonb_array_elements(others) AS other);
    END IF;
END $$;
"""
COUNTS = (
    "prompt_tokens",
    "completion_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_output_tokens",
    "images",
    "web_searches",
)
SUMS = ("requests", *COUNTS, "cost_usd", "upstream_cost_usd")
BASES = {
    "upstream_basis_usd": "sum(coalesce(upstream_cost_usd, cost_usd))",
    "higher_basis_usd": "sum(greatest(cost_usd, upstream_cost_usd))",
}
SUMMED = ("count(*)", *(f"sum({name})" for name in COUNTS), "sum(cost_usd)", "coalesce(sum(upstream_cost_usd), 0)")
# In the order in which rows are copied. What JSON leaves out is nothing.
COLUMNS = {
    "customer_id": "bigint",
    "event_id": "text",
    "occurred_at": "timestamptz",
    "month": "date",
    "requested_model": "text",
    "served_model": "text",
    "dialect": "text",
    "usage": "jsonb",
    "body_hash": "text",
    **dict.fromkeys(COUNTS, "bigint"),
    "flags": "text[]",
    "api_key_id": "bigint",
    "app_id": "bigint",
    "app_title": "text",
    "app_referer": "text",
    "upstream_cost_usd": "numeric",
    "model_id": "bigint",
    "price_id": "bigint",
    "cost_usd": "numeric",
    "code": "text",
    "detail": "text",
}
NOTHING = {
    **dict.fromkeys((*COUNTS, "app_id"), "0"),
    "flags": "ARRAY[]::text[]",
    "app_title": "''",
    "app_referer": "''",
}
TYPED = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
GIVEN = ", ".join(f"coalesce({name}, {NOTHING[name]}) AS {name}" if name in NOTHING else name for name in COLUMNS)


INCOMING = f"""
CREATE FUNCTION usage_prepare_copy() RETURNS void LANGUAGE plpgsql SET client_min_messages = warning AS $$
BEGIN
    CREATE TEMPORARY TABLE IF NOT EXISTS usage_incoming ({TYPED}) ON COMMIT DELETE ROWS;
    IF EXISTS (SELECT FROM usage_incoming) THEN
        TRUNCATE usage_incoming;
    END IF;
END $$;
"""

# A plan is kept for as long as a connection lives; one that was made while the tables were small would read them whole.
PLANS = "\n".join(
    f"ALTER FUNCTION {function} SET {setting};"
    for function in (
        "usage_store_events(json, bigint[], date[], timestamptz, bigint)",
        "usage_store_copied(bigint[], date[], timestamptz, bigint)",
    )
    for setting in ("plan_cache_mode = force_generic_plan", "enable_seqscan = off")
)


def _added(columns):
    return ", ".join(f"{name} = kept.{name} + EXCLUDED.{name}" for name in columns)


def _store(name, arguments, source):
    return STORE.format(
        name=name,
        arguments=arguments,
        source=source,
        counts=", ".join(COUNTS),
        sums=", ".join(SUMS),
        summed=", ".join(SUMMED),
        added=_added(SUMS),
        bases=", ".join(BASES),
        based=", ".join(BASES.values()),
        bases_added=_added(BASES),
    )


class Migration(migrations.Migration):
    dependencies = [("catalog", "0005_version"), ("usage", "0010_one_catalog_version")]
    operations = [
        migrations.RunSQL(MONTH),
        migrations.RunSQL(
            _store("usage_store_events", "rows json, ", f"SELECT {GIVEN} FROM json_to_recordset(rows) AS row ({TYPED})")
        ),
        migrations.RunSQL(INCOMING),
        migrations.RunSQL(_store("usage_store_copied", "", "SELECT * FROM usage_incoming")),
        migrations.RunSQL(PLANS),
    ]
