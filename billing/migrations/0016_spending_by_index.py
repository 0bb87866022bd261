"""The functions behind spending accounts go by index: a kept plan that reads whole tables was made when they were small."""

from django.db import migrations

PLANS = "\n".join(
    f"ALTER FUNCTION {function} SET {setting};"
    for function in (
        "billing_add_unbilled(bigint[], date[], numeric[])",
        "billing_follow_ledger()",
        "billing_follow_close()",
    )
    for setting in ("enable_seqscan = off", "enable_hashjoin = off", "enable_mergejoin = off")
)


class Migration(migrations.Migration):
    dependencies = [("billing", "0015_invoice_statements")]
    operations = [migrations.RunSQL(PLANS)]
