"""The event table, its month partitions and the key table that makes an event id count once over all months."""

from django.db import migrations

EVENTS = """
CREATE SEQUENCE usage_event_seq_seq;
CREATE TABLE usage_event (
    seq bigint NOT NULL DEFAULT nextval('usage_event_seq_seq'),
    customer_id bigint NOT NULL,
    event_id text NOT NULL,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    billing_month date NOT NULL,
    api_key_id bigint,
    requested_model text NOT NULL,
    served_model text NOT NULL,
    dialect text NOT NULL,
    usage jsonb NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cache_read_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    cache_write_1h_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    audio_input_tokens bigint NOT NULL,
    audio_output_tokens bigint NOT NULL,
    image_output_tokens bigint NOT NULL,
    images bigint NOT NULL,
    web_searches bigint NOT NULL,
    flags text[] NOT NULL,
    model_id bigint,
    price_id bigint,
    cost_usd numeric(48, 28),
    upstream_cost_usd numeric(48, 28),
    app_title text NOT NULL,
    app_referer text NOT NULL,
    body_hash bytea NOT NULL,
    PRIMARY KEY (customer_id, occurred_at, event_id),
    CONSTRAINT usage_event_counts_fit_each_other CHECK (
        least(cache_read_tokens, cache_write_1h_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens,
              image_output_tokens, images, web_searches) >= 0
        AND cache_read_tokens + cache_write_tokens <= prompt_tokens
        AND cache_write_1h_tokens <= cache_write_tokens
        AND reasoning_tokens <= completion_tokens),
    CONSTRAINT usage_event_is_priced_whole CHECK (
        (price_id IS NULL) = (cost_usd IS NULL) AND (price_id IS NULL OR model_id IS NOT NULL) AND cost_usd >= 0),
    CONSTRAINT usage_event_is_billed_in_its_month_or_later CHECK (
        billing_month = date_trunc('month', billing_month::timestamp)::date
        AND billing_month >= date_trunc('month', occurred_at AT TIME ZONE 'Asia/Seoul')::date)
) PARTITION BY RANGE (occurred_at);
ALTER SEQUENCE usage_event_seq_seq OWNED BY usage_event.seq;
-- Rows arrive in seq order, so a block-range index finds one by seq and costs ingest nothing.
CREATE INDEX usage_event_by_seq ON usage_event USING brin (seq);

CREATE TABLE usage_event_key (
    customer_id bigint NOT NULL,
    event_id text NOT NULL,
    body_hash bytea NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, event_id)
);
"""

GUARDS = """
SELECT jeongsan_append_only('usage_event');
SELECT jeongsan_append_only('usage_event_key');
"""

# Attaching a finished table takes a lighter lock on the parent than creating a partition in place: ingest goes on.
PARTITIONS = """
CREATE FUNCTION usage_ensure_partition(first_day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    partition text := 'usage_event_' || to_char(first_day, 'YYYY_MM');
    lower_at timestamptz := first_day::timestamp AT TIME ZONE 'Asia/Seoul';
    upper_at timestamptz := (first_day + interval '1 month')::timestamp AT TIME ZONE 'Asia/Seoul';
BEGIN
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('usage_ensure_partition'));
    -- Asked of the table itself: to_regclass remembers "absent" across the wait for the lock.
    IF EXISTS (SELECT FROM pg_class WHERE relname = partition AND pg_table_is_visible(oid)) THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE usage_event INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition);
    EXECUTE format('ALTER TABLE usage_event ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                   partition, lower_at, upper_at);
    PERFORM jeongsan_never_truncate(partition::regclass);
END $$;
"""

QUARANTINE = """
CREATE FUNCTION usage_quarantine_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    decided text[] := ARRAY['status', 'model_id', 'price_id', 'cost_usd', 'resolved_at', 'resolved_by', 'resolution'];
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.status = 'open' AND to_jsonb(NEW) - decided = to_jsonb(OLD) - decided THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a quarantined event is resolved once: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER quarantine_is_resolved_once BEFORE UPDATE OR DELETE ON usage_quarantinedevent
    FOR EACH ROW EXECUTE FUNCTION usage_quarantine_guard();

CREATE FUNCTION usage_period_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = 'closed' THEN
        RAISE EXCEPTION 'a closed billing period stays as it is: % refused', TG_OP USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER closed_period_stays BEFORE UPDATE OR DELETE ON usage_billingperiod
    FOR EACH ROW EXECUTE FUNCTION usage_period_guard();
"""


class Migration(migrations.Migration):
    dependencies = [("usage", "0001_initial"), ("accounts", "0002_guards")]
    operations = [migrations.RunSQL(sql) for sql in (EVENTS, GUARDS, PARTITIONS, QUARANTINE)]
