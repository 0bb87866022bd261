"""Months in files, and what their events added to the daily sums."""

from django.db import migrations, models

# No model: only recounts and the archive itself read it, and both in SQL.
SUMS = """
CREATE TABLE usage_archived_sum (
    archive_id bigint NOT NULL,
    customer_id bigint NOT NULL,
    billing_month date NOT NULL,
    day date NOT NULL,
    api_key_id bigint,
    model_id bigint NOT NULL,
    price_id bigint NOT NULL,
    app_id bigint NOT NULL,
    requests bigint NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cache_read_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    cache_write_1h_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    audio_input_tokens bigint NOT NULL,
    audio_output_tokens bigint NOT NULL,
    image_output_tokens bigint NOT NULL,
    images bigint NOT NULL,
    web_searches bigint NOT NULL,
    cost_usd numeric(48, 28) NOT NULL,
    upstream_cost_usd numeric(48, 28) NOT NULL
);
CREATE INDEX usage_archived_sum_by_customer ON usage_archived_sum (customer_id, billing_month);
CREATE INDEX usage_archived_sum_by_archive ON usage_archived_sum (archive_id);
"""
GUARDS = """
CREATE FUNCTION usage_archive_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moved text[] := ARRAY['status', 'restored_at', 'directory'];
BEGIN
    IF OLD.status IN ('writing', 'written') AND TG_OP = 'UPDATE' THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.status = 'archived' AND to_jsonb(NEW) - moved = to_jsonb(OLD) - moved THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'an archive stays as it was written: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER archive_stays BEFORE UPDATE OR DELETE ON usage_usagearchive
    FOR EACH ROW EXECUTE FUNCTION usage_archive_guard();
SELECT jeongsan_never_truncate('usage_usagearchive');
"""


class Migration(migrations.Migration):
    dependencies = [
        ("usage", "0007_statements_and_estimates"),
    ]

    operations = [
        migrations.CreateModel(
            name="UsageArchive",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("month", models.DateField(verbose_name="month")),
                ("start_at", models.DateTimeField(verbose_name="start")),
                ("end_at", models.DateTimeField(verbose_name="end")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("writing", "being written"),
                            ("written", "written"),
                            ("archived", "archived"),
                            ("restored", "restored"),
                        ],
                        default="writing",
                        max_length=8,
                        verbose_name="status",
                    ),
                ),
                ("directory", models.TextField(verbose_name="directory")),
                ("events", models.BigIntegerField(default=0, verbose_name="events")),
                ("unpriced_events", models.BigIntegerField(default=0)),
                ("withdrawn_events", models.BigIntegerField(default=0)),
                ("digest", models.DecimalField(decimal_places=0, default=0, max_digits=40)),
                ("manifest", models.JSONField(default=dict)),
                ("manifest_sha256", models.CharField(blank=True, max_length=64, verbose_name="hash of the manifest")),
                ("started_at", models.DateTimeField(verbose_name="started")),
                ("archived_at", models.DateTimeField(blank=True, null=True, verbose_name="archived")),
                ("restored_at", models.DateTimeField(blank=True, null=True, verbose_name="restored")),
                ("actor", models.CharField(max_length=200, verbose_name="started by")),
            ],
            options={
                "verbose_name": "archived month",
                "verbose_name_plural": "archived months",
                "ordering": ["-month", "-pk"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("status", "restored"), _negated=True),
                        fields=("month",),
                        name="a_month_is_archived_once_at_a_time",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("archived_at__isnull", True),
                                ("restored_at__isnull", True),
                                ("status__in", ["writing", "written"]),
                            ),
                            models.Q(
                                ("archived_at__isnull", False), ("restored_at__isnull", True), ("status", "archived")
                            ),
                            models.Q(
                                ("archived_at__isnull", False), ("restored_at__isnull", False), ("status", "restored")
                            ),
                            _connector="OR",
                        ),
                        name="archive_is_dated_by_its_status",
                    ),
                ],
            },
        ),
        *(migrations.RunSQL(sql, migrations.RunSQL.noop) for sql in (SUMS, GUARDS)),
    ]
