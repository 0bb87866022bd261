"""The database refuses what the code must never do: audit entries and identity versions are only ever added."""

from django.db import migrations

FUNCTIONS = """
CREATE FUNCTION jeongsan_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% rows are never changed: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;

-- Every app's guard migrations call these on their own tables.
CREATE FUNCTION jeongsan_never_truncate(guarded regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER table_is_never_truncated BEFORE TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION jeongsan_refuse_change()', guarded);
END $$;

CREATE FUNCTION jeongsan_append_only(guarded regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER rows_are_never_changed BEFORE UPDATE OR DELETE ON %s
                    FOR EACH ROW EXECUTE FUNCTION jeongsan_refuse_change()', guarded);
    PERFORM jeongsan_never_truncate(guarded);
END $$;
"""

APPEND_ONLY = """
SELECT jeongsan_append_only('accounts_auditentry');
SELECT jeongsan_append_only('accounts_taxprofile');
SELECT jeongsan_append_only('accounts_sellerprofile');
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.RunSQL(FUNCTIONS), migrations.RunSQL(APPEND_ONLY)]
