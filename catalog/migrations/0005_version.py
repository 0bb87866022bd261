"""One number that changes with every change of the catalog, so that asking whether it changed costs one row."""

from django.db import migrations

VERSION = """
CREATE SEQUENCE catalog_version_seq;
CREATE TABLE catalog_version (
    version bigint NOT NULL,
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only)
);
INSERT INTO catalog_version (version) VALUES (nextval('catalog_version_seq'));

-- In the transaction of the change itself: whoever reads a new number reads what it stands for. What is rolled back takes
-- its number with it, and nobody gets that number again.
CREATE FUNCTION catalog_count_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE catalog_version SET version = nextval('catalog_version_seq');
    RETURN NULL;
END $$;
"""
COUNTED = ("provider", "model", "modelalias", "routertarget", "price", "catalogsync")
TRIGGER = """
CREATE TRIGGER version_follows AFTER INSERT OR UPDATE OR DELETE ON catalog_{table}
    FOR EACH ROW EXECUTE FUNCTION catalog_count_version();
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0004_price_changes")]
    operations = [
        migrations.RunSQL(VERSION),
        *(migrations.RunSQL(TRIGGER.format(table=table)) for table in COUNTED),
    ]
