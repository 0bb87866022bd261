"""Upstreams, calls with their holds and attempts, and the meters of keys with limits."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0005_key_limits"),
    ]

    operations = [
        migrations.CreateModel(
            name="KeyMeter",
            fields=[
                (
                    "api_key",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="meter",
                        serialize=False,
                        to="accounts.apikey",
                        verbose_name="API key",
                    ),
                ),
                ("minute_at", models.DateTimeField()),
                ("requests", models.BigIntegerField(default=0)),
                ("tokens", models.BigIntegerField(default=0)),
                ("open_calls", models.BigIntegerField(default=0)),
                ("month", models.DateField()),
                ("spent_usd", models.DecimalField(decimal_places=28, default=0, max_digits=48)),
                ("held_usd", models.DecimalField(decimal_places=28, default=0, max_digits=48)),
            ],
            options={
                "verbose_name": "key meter",
                "verbose_name_plural": "key meters",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("held_usd__gte", 0),
                            ("open_calls__gte", 0),
                            ("requests__gte", 0),
                            ("spent_usd__gte", 0),
                            ("tokens__gte", 0),
                        ),
                        name="key_meter_is_never_negative",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Upstream",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.SlugField(max_length=60, unique=True, verbose_name="name")),
                ("base_url", models.URLField(max_length=300, verbose_name="base URL")),
                (
                    "dialect",
                    models.CharField(
                        choices=[("openrouter", "OpenRouter"), ("openai", "OpenAI")],
                        default="openrouter",
                        max_length=12,
                        verbose_name="dialect",
                    ),
                ),
                ("priority", models.PositiveSmallIntegerField(default=100, verbose_name="priority")),
                ("is_enabled", models.BooleanField(default=True, verbose_name="enabled")),
                (
                    "connect_timeout_seconds",
                    models.PositiveSmallIntegerField(default=5, verbose_name="connect timeout (s)"),
                ),
                (
                    "first_byte_timeout_seconds",
                    models.PositiveSmallIntegerField(default=120, verbose_name="first byte timeout (s)"),
                ),
                ("idle_timeout_seconds", models.PositiveSmallIntegerField(default=60, verbose_name="idle timeout (s)")),
                ("failures", models.PositiveIntegerField(default=0, editable=False, verbose_name="failures in a row")),
                (
                    "cooldown_until",
                    models.DateTimeField(blank=True, editable=False, null=True, verbose_name="passed over until"),
                ),
                ("last_error", models.CharField(blank=True, editable=False, max_length=100, verbose_name="last error")),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="created"),
                ),
                ("created_by", models.CharField(editable=False, max_length=200, verbose_name="created by")),
            ],
            options={
                "verbose_name": "upstream",
                "verbose_name_plural": "upstreams",
                "ordering": ["priority", "name"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("connect_timeout_seconds__gt", 0),
                            ("first_byte_timeout_seconds__gt", 0),
                            ("idle_timeout_seconds__gt", 0),
                        ),
                        name="upstream_waits_for_some_time",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="GatewayCall",
            fields=[
                (
                    "call_id",
                    models.CharField(max_length=64, primary_key=True, serialize=False, verbose_name="generation id"),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("open", "open"),
                            ("settled", "settled"),
                            ("estimated", "estimated"),
                            ("failed", "failed"),
                            ("lost", "lost"),
                        ],
                        default="open",
                        max_length=10,
                        verbose_name="status",
                    ),
                ),
                ("route", models.CharField(max_length=30, verbose_name="route")),
                ("dialect", models.CharField(max_length=30, verbose_name="dialect")),
                ("is_stream", models.BooleanField(default=False, verbose_name="stream")),
                ("requested_model", models.CharField(max_length=200, verbose_name="requested model")),
                ("served_model", models.CharField(blank=True, max_length=200, verbose_name="served model")),
                ("app_title", models.CharField(blank=True, max_length=300, verbose_name="app")),
                ("app_referer", models.CharField(blank=True, max_length=300, verbose_name="referer")),
                (
                    "idempotency_key",
                    models.CharField(blank=True, max_length=255, null=True, verbose_name="idempotency key"),
                ),
                ("started_at", models.DateTimeField(verbose_name="started")),
                ("hold_krw", models.BigIntegerField(verbose_name="hold (KRW)")),
                ("hold_usd", models.DecimalField(decimal_places=28, max_digits=48, verbose_name="hold (USD)")),
                ("hold_tokens", models.BigIntegerField(verbose_name="hold (tokens)")),
                ("prompt_bytes", models.BigIntegerField(default=0, verbose_name="size of the request")),
                ("granted_tokens", models.BigIntegerField(default=0, verbose_name="granted completion tokens")),
                ("is_metered", models.BooleanField(default=False)),
                ("minute_at", models.DateTimeField(null=True)),
                ("instance", models.CharField(blank=True, max_length=60, verbose_name="process")),
                ("lease_until", models.DateTimeField(verbose_name="lease until")),
                ("answering_at", models.DateTimeField(blank=True, null=True, verbose_name="answer begun")),
                (
                    "upstream_generation_id",
                    models.CharField(blank=True, max_length=200, null=True, verbose_name="upstream's id"),
                ),
                ("finished_at", models.DateTimeField(blank=True, null=True, verbose_name="finished")),
                ("settled_at", models.DateTimeField(blank=True, null=True, verbose_name="settled at")),
                ("finish_reason", models.CharField(blank=True, max_length=40, verbose_name="finish reason")),
                ("error_code", models.CharField(blank=True, max_length=60, verbose_name="error")),
                ("answered_bytes", models.BigIntegerField(default=0, verbose_name="size of the answer")),
                ("answered_chunks", models.BigIntegerField(default=0, verbose_name="chunks of the answer")),
                ("event_id", models.CharField(blank=True, max_length=200, null=True, verbose_name="event id")),
                (
                    "cost_usd",
                    models.DecimalField(
                        blank=True, decimal_places=28, max_digits=48, null=True, verbose_name="cost (USD)"
                    ),
                ),
                ("is_billed", models.BooleanField(default=False, verbose_name="billed")),
                (
                    "flags",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=40),
                        blank=True,
                        default=list,
                        size=None,
                        verbose_name="flags",
                    ),
                ),
                ("next_ask_at", models.DateTimeField(blank=True, null=True, verbose_name="asks upstream at")),
                ("asks", models.PositiveSmallIntegerField(default=0, verbose_name="times asked")),
                (
                    "api_key",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.apikey",
                        verbose_name="API key",
                    ),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.customer",
                        verbose_name="customer",
                    ),
                ),
                (
                    "upstream",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="gateway.upstream",
                        verbose_name="upstream",
                    ),
                ),
            ],
            options={
                "db_table": "gateway_call",
                "verbose_name": "gateway call",
                "verbose_name_plural": "gateway calls",
                "ordering": ["-started_at"],
            },
        ),
        migrations.CreateModel(
            name="UpstreamKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(default="default", max_length=60, verbose_name="name")),
                ("secret", models.BinaryField(max_length=2000, verbose_name="encrypted key")),
                ("last4", models.CharField(editable=False, max_length=4, verbose_name="last four")),
                ("priority", models.PositiveSmallIntegerField(default=100, verbose_name="priority")),
                ("is_enabled", models.BooleanField(default=True, verbose_name="enabled")),
                (
                    "cooldown_until",
                    models.DateTimeField(blank=True, editable=False, null=True, verbose_name="passed over until"),
                ),
                ("last_error", models.CharField(blank=True, editable=False, max_length=100, verbose_name="last error")),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="created"),
                ),
                ("created_by", models.CharField(editable=False, max_length=200, verbose_name="created by")),
                (
                    "upstream",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="keys",
                        to="gateway.upstream",
                        verbose_name="upstream",
                    ),
                ),
            ],
            options={
                "verbose_name": "upstream key",
                "verbose_name_plural": "upstream keys",
                "ordering": ["upstream", "priority", "name"],
            },
        ),
        migrations.CreateModel(
            name="CallAttempt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveSmallIntegerField(verbose_name="number")),
                ("started_at", models.DateTimeField(verbose_name="started")),
                ("first_byte_at", models.DateTimeField(blank=True, null=True, verbose_name="first byte")),
                ("status", models.PositiveSmallIntegerField(blank=True, null=True, verbose_name="HTTP status")),
                ("error_code", models.CharField(blank=True, max_length=60, verbose_name="error")),
                (
                    "upstream_generation_id",
                    models.CharField(blank=True, max_length=200, null=True, verbose_name="upstream's id"),
                ),
                (
                    "call",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="attempts",
                        to="gateway.gatewaycall",
                        verbose_name="call",
                    ),
                ),
                (
                    "upstream",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="gateway.upstream",
                        verbose_name="upstream",
                    ),
                ),
                (
                    "key",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="gateway.upstreamkey",
                        verbose_name="key",
                    ),
                ),
            ],
            options={
                "verbose_name": "attempt",
                "verbose_name_plural": "attempts",
                "ordering": ["call", "number"],
            },
        ),
        migrations.AddIndex(
            model_name="gatewaycall",
            index=models.Index(
                condition=models.Q(("status", "open")), fields=["lease_until"], name="gateway_call_open"
            ),
        ),
        migrations.AddIndex(
            model_name="gatewaycall",
            index=models.Index(
                condition=models.Q(("next_ask_at__isnull", False), ("status", "estimated")),
                fields=["next_ask_at"],
                name="gateway_call_to_ask",
            ),
        ),
        migrations.AddIndex(
            model_name="gatewaycall",
            index=models.Index(fields=["started_at"], name="gateway_call_by_start"),
        ),
        migrations.AddIndex(
            model_name="gatewaycall",
            index=models.Index(fields=["customer", "-started_at"], name="gateway_call_by_customer"),
        ),
        migrations.AddConstraint(
            model_name="gatewaycall",
            constraint=models.CheckConstraint(
                condition=models.Q(("hold_krw__gte", 0), ("hold_tokens__gte", 0), ("hold_usd__gte", 0)),
                name="gateway_call_holds_something_sane",
            ),
        ),
        migrations.AddConstraint(
            model_name="gatewaycall",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("event_id__isnull", True), ("settled_at__isnull", True), ("status", "open")),
                    models.Q(models.Q(("status", "open"), _negated=True), ("settled_at__isnull", False)),
                    _connector="OR",
                ),
                name="gateway_call_is_settled_exactly_when_it_is_not_open",
            ),
        ),
        migrations.AddConstraint(
            model_name="gatewaycall",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("event_id__isnull", False), ("status__in", ["settled", "estimated"])),
                    models.Q(
                        models.Q(("status__in", ["settled", "estimated"]), _negated=True),
                        ("event_id__isnull", True),
                        ("is_billed", False),
                    ),
                    _connector="OR",
                ),
                name="gateway_call_has_an_event_exactly_when_answered",
            ),
        ),
        migrations.AddConstraint(
            model_name="gatewaycall",
            constraint=models.UniqueConstraint(
                condition=models.Q(("idempotency_key__isnull", False), models.Q(("status", "failed"), _negated=True)),
                fields=("customer", "idempotency_key"),
                name="gateway_call_is_one_per_idempotency_key",
            ),
        ),
        migrations.AddConstraint(
            model_name="upstreamkey",
            constraint=models.UniqueConstraint(fields=("upstream", "name"), name="upstream_key_has_its_own_name"),
        ),
        migrations.AddConstraint(
            model_name="callattempt",
            constraint=models.UniqueConstraint(fields=("call", "number"), name="call_attempt_has_its_own_number"),
        ),
    ]
