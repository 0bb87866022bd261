"""The catalog's version is one number; runs that are under way begin anew."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("usage", "0009_cost_bases")]
    operations = [
        migrations.RemoveField("ratingjob", "catalog_version"),
        migrations.AddField("ratingjob", "catalog_version", models.BigIntegerField(default=0), preserve_default=False),
    ]
