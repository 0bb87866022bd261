"""Prices are history: an interval can be ended once, a quarantined price can get its listed one, nothing else changes."""

from django.db import migrations

PLAIN_PRICES = r"""
CREATE FUNCTION catalog_prices_are_plain(components jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_typeof(components) = 'object' AND NOT EXISTS (
        SELECT 1 FROM jsonb_each(components) AS price
        WHERE jsonb_typeof(price.value) <> 'string'
           OR price.value #>> '{}' !~ '^[0-9]{1,20}(\.[0-9]{1,28})?$')
$$;
ALTER TABLE catalog_price ADD CONSTRAINT price_components_are_plain_decimals
    CHECK (catalog_prices_are_plain(components));
"""

GUARD = """
CREATE FUNCTION catalog_price_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF OLD.effective_to IS NULL AND NEW.effective_to IS NOT NULL
           AND to_jsonb(NEW) - 'effective_to' = to_jsonb(OLD) - 'effective_to' THEN
            RETURN NEW;
        END IF;
        IF OLD.kind = 'quarantined' AND NEW.kind = 'listed' AND NEW.id = OLD.id AND NEW.model_id = OLD.model_id
           AND NEW.effective_from = OLD.effective_from AND NEW.effective_to IS NOT DISTINCT FROM OLD.effective_to THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'a price is history: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER price_is_history BEFORE UPDATE OR DELETE ON catalog_price
    FOR EACH ROW EXECUTE FUNCTION catalog_price_guard();
SELECT jeongsan_never_truncate('catalog_price');
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0001_initial"), ("accounts", "0002_guards")]
    operations = [migrations.RunSQL(PLAIN_PRICES), migrations.RunSQL(GUARD)]
