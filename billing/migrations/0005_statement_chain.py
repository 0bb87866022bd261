"""The hash chain over a statement's lines (billing/statements.py) as an aggregate: one pass in the database."""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION jeongsan_chain_step(state bytea, line text) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT sha256(state || convert_to(line, 'UTF8')) $$;
CREATE AGGREGATE jeongsan_chain(line text) (SFUNC = jeongsan_chain_step, STYPE = bytea, INITCOND = '');
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0004_alerts"), ("usage", "0002_event_tables")]
    operations = [migrations.RunSQL(FORWARDS)]
