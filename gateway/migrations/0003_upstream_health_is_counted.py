"""Health is counted from attempts: nothing wrote these columns."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0002_admission"),
    ]

    operations = [
        migrations.RemoveField(
            model_name="upstream",
            name="cooldown_until",
        ),
        migrations.RemoveField(
            model_name="upstream",
            name="failures",
        ),
        migrations.RemoveField(
            model_name="upstream",
            name="last_error",
        ),
        migrations.RemoveField(
            model_name="upstreamkey",
            name="cooldown_until",
        ),
        migrations.RemoveField(
            model_name="upstreamkey",
            name="last_error",
        ),
    ]
