"""What events name a payer by stays with that payer: processes remember it."""

from django.db import migrations

NAMES = """
CREATE FUNCTION accounts_name_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the name of a % is never changed', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER slug_stays BEFORE UPDATE OF slug ON accounts_customer
    FOR EACH ROW WHEN (OLD.slug <> NEW.slug) EXECUTE FUNCTION accounts_name_stays();
CREATE TRIGGER key_stays BEFORE UPDATE OF prefix, customer_id, pepper_version, digest ON accounts_apikey
    FOR EACH ROW WHEN ((OLD.prefix, OLD.customer_id, OLD.pepper_version, OLD.digest)
                       IS DISTINCT FROM (NEW.prefix, NEW.customer_id, NEW.pepper_version, NEW.digest))
    EXECUTE FUNCTION accounts_name_stays();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_key_limits")]
    operations = [migrations.RunSQL(NAMES)]
