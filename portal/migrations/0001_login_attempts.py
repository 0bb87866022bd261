"""Tries at the login page, counted by e-mail and network address."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="LoginAttempt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("email", models.CharField(max_length=254, verbose_name="e-mail")),
                ("address", models.CharField(max_length=64, verbose_name="network address")),
                ("attempted_at", models.DateTimeField(verbose_name="at")),
            ],
            options={
                "verbose_name": "login attempt",
                "verbose_name_plural": "login attempts",
                "indexes": [
                    models.Index(fields=["email", "address", "attempted_at"], name="login_attempt_by_who"),
                    models.Index(fields=["attempted_at"], name="login_attempt_by_time"),
                ],
            },
        ),
    ]
