"""Storing events joins by hash whoever asks: a caller that goes by index alone would compare every event with every other.

And nobody looks for the upstream's id of an event: that index goes.
"""

from django.db import migrations

HASHED = """
ALTER FUNCTION usage_store_events(json, bigint[], date[], timestamptz, bigint) SET enable_hashjoin = on;
"""


class Migration(migrations.Migration):
    dependencies = [("usage", "0011_store_events")]
    operations = [
        migrations.RunSQL(HASHED),
        migrations.RemoveIndex(model_name="usagealias", name="usage_alias_by_event"),
    ]
