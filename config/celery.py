"""Celery: which broker, which queues, what happens to a task when its worker dies.

Without CELERY_BROKER_URL the broker is pgmq on the same PostgreSQL; a server may name Redis or RabbitMQ instead.
A task that was not acknowledged is delivered again after VISIBILITY_TIMEOUT_SECONDS, so every task can run twice and
has to be shorter than that (countdowns of retries too). Results are not kept: what a task did stands in its rows.

Workers run with `-P threads`: a forked child that is killed leaves its pool hanging with this broker.
"""

from __future__ import annotations

import os
from typing import Any

import psycopg
from celery import Celery
from celery.schedules import crontab
from celery.signals import beat_init, before_task_publish, celeryd_init
from kombu import Queue
from psycopg import sql
from psycopg.conninfo import make_conninfo

from config import embedded, env

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# A storm in one queue must not starve another: a worker takes turns between its queues, and servers give `money` and
# `ingest` workers of their own.
QUEUES = ("money", "documents", "ingest", "low")
DEFAULT_QUEUE = "low"
# By task name; what stands in none of these goes to the default queue.
ROUTES = {
    "billing.tasks.close_customers": {"queue": "money"},
    "billing.tasks.draft_customers": {"queue": "money"},
    "billing.tasks.deliver_due": {"queue": "documents"},
    "billing.tasks.refresh_spending": {"queue": "money"},
    "gateway.tasks.*": {"queue": "ingest"},
    "usage.tasks.*": {"queue": "ingest"},
}
BROKER_URL = env.env_secret("CELERY_BROKER_URL") or "pgmq://"
VISIBILITY_TIMEOUT_SECONDS = env.env_int("CELERY_VISIBILITY_TIMEOUT_SECONDS", 900, minimum=1)

# What happens by itself, in seconds or as crontab(hour=2, minute=0) from celery.schedules, whose hours are UTC.
BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "drain the outbox": {"task": "billing.tasks.deliver_due", "schedule": 30.0},
    # Published around 11:00 in Korea; asked again in the evening for days on which the bank is late.
    "fetch exchange rates": {"task": "billing.tasks.fetch_rates", "schedule": crontab(hour="3,9", minute=20)},
    # Prices move at any hour; a listing that says nothing new writes nothing.
    "sync the catalog": {"task": "billing.tasks.sync_catalog", "schedule": crontab(minute=7)},
    "raise alerts": {"task": "billing.tasks.raise_alerts", "schedule": crontab(minute=37)},
    # In the small hours of Korea, when the days before are over and most statements of them are read in.
    "reconcile with upstreams": {"task": "billing.tasks.alert_reconciliation", "schedule": crontab(hour=19, minute=40)},
    "tell of low prepayments": {"task": "billing.tasks.request_top_ups", "schedule": crontab(minute=47)},
    # In the small hours of Korea, after a day has ended there.
    "expire promotional credit": {"task": "billing.tasks.expire_credits", "schedule": crontab(hour=17, minute=30)},
    "mail alerts": {"task": "billing.tasks.send_alerts", "schedule": 60.0},
    # Looks; it does something only when a model that events wait for has got a price.
    "price what waited": {"task": "usage.tasks.rate_quarantine", "schedule": 120.0},
    "take estimates back": {"task": "usage.tasks.withdraw_estimates", "schedule": crontab(minute=23)},
    # Rates, margins and grants change what one dollar takes from a customer's balance.
    "recount what customers may spend": {"task": "billing.tasks.refresh_spending", "schedule": 600.0},
    "settle abandoned calls": {"task": "gateway.tasks.sweep_calls", "schedule": 30.0},
    "tidy calls": {"task": "gateway.tasks.tidy_calls", "schedule": crontab(minute=53)},
    "have next months' partitions": {"task": "usage.tasks.make_partitions", "schedule": crontab(hour=18, minute=5)},
}

_INSTALL_LOCK = 0x6A656F6E67  # "jeong": any number nobody else locks in this database


def database_conninfo() -> str:
    """libpq connection string of the database that the site uses."""
    settings = _database_settings()
    return make_conninfo(
        host=settings["HOST"],
        port=settings["PORT"],
        user=settings["USER"],
        password=settings["PASSWORD"],
        dbname=settings["NAME"],
        **settings["OPTIONS"],
    )


def _database_settings() -> dict[str, Any]:
    url = env.database_url()
    return env.parse_database_url(url) if url else embedded.connection_settings(env.var_dir())


def _pgmq_conninfo() -> str:
    """The connection string as kombu's pgmq transport has to be given it.

    pgmq takes host, port, database, user and password out of it and joins them again *without quoting*, and drops
    everything else. So each value goes in already quoted, and the other options travel behind the database's name.
    """
    settings = _database_settings()
    options = "".join(f" {name}={_quoted(value)}" for name, value in settings["OPTIONS"].items())
    return make_conninfo(
        host=_quoted(settings["HOST"] or "localhost"),
        port=settings["PORT"] or "5432",
        dbname=_quoted(settings["NAME"]) + options,
        user=_quoted(settings["USER"]),
        password=_quoted(settings["PASSWORD"] or "none"),
    )


def _quoted(value: object) -> str:
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"


def _broker_options() -> dict[str, Any]:
    scheme = BROKER_URL.split("://", 1)[0]
    options: dict[str, Any] = {}
    if scheme in {"pgmq", "redis", "rediss"}:
        options["visibility_timeout"] = VISIBILITY_TIMEOUT_SECONDS
    if scheme == "pgmq":
        # The transport's long poll waits at one queue after the other, so a message in the fourth would wait for
        # three polls. Its NOTIFY makes a trigger anew in every process that sends, and two of them deadlock. So all
        # queues are looked at ten times a second, which with Celery's usual four messages in stock per thread keeps a
        # worker busy (measured on four threads: 600 empty tasks a second, 36 of the possible 40 that take 100 ms; 65 ms
        # until an idle worker begins; 1 % of a core when idle).
        options |= {"init_extension": False, "wait_time_seconds": 0, "polling_interval": 0.1, "pool_size": 4}
        if BROKER_URL == "pgmq://":
            options["conn_string"] = _pgmq_conninfo()
    return options


app = Celery("jeongsan")
app.conf.update(
    broker_url=BROKER_URL,
    broker_transport_options=_broker_options(),
    broker_connection_retry_on_startup=True,
    result_backend=None,
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json"],
    enable_utc=True,
    timezone="UTC",
    # In pgmq ensure_broker makes the queues: declaring one is DDL, which nobody who sends a task should run.
    task_queues=[Queue(name, no_declare=BROKER_URL == "pgmq://") for name in QUEUES],
    task_default_queue=DEFAULT_QUEUE,
    task_create_missing_queues=False,
    task_routes=ROUTES,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    # Over pgmq every worker's control mailbox would be one more table to poll.
    worker_enable_remote_control=not BROKER_URL.startswith("pgmq://"),
    worker_hijack_root_logger=False,
    beat_schedule=BEAT_SCHEDULE,
    beat_schedule_filename=str(env.var_dir() / "beat-schedule"),
)
app.autodiscover_tasks()
_ready = False


@before_task_publish.connect
@celeryd_init.connect
@beat_init.connect
def ensure_broker(**_: Any) -> None:
    """Make pgmq's tables and our queues where they are missing; nothing to do for other brokers.

    Called before the first task is sent and by every worker and beat, from any number of processes at once.
    """
    global _ready
    if _ready or BROKER_URL != "pgmq://":
        return
    if env.database_url() is None:
        embedded.ensure_started(env.var_dir())
    from pgmq.install import get_embedded_install_sql  # only where this broker is used

    with psycopg.connect(database_conninfo()) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_INSTALL_LOCK])
        if connection.execute("SELECT to_regclass('pgmq.meta')").fetchone() == (None,):
            connection.execute(get_embedded_install_sql().encode())
        there = {name for (name,) in connection.execute("SELECT queue_name FROM pgmq.meta")}
        for name in sorted(set(QUEUES) - there):
            connection.execute("SELECT pgmq.create(%s)", [name])
    _ready = True


def release_unacknowledged() -> int:
    """Hand out again what dead workers had taken; returns how many messages. Only where no worker can be running."""
    if BROKER_URL != "pgmq://":
        return 0
    released = 0
    with psycopg.connect(database_conninfo()) as connection:
        for name in QUEUES:
            table = sql.Identifier("pgmq", f"q_{name}")
            statement = sql.SQL("UPDATE {} SET vt = clock_timestamp() WHERE read_ct > 0 AND vt > clock_timestamp()")
            released += connection.execute(statement.format(table)).rowcount
    return released
