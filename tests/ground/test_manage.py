"""`manage.py` as a user has it: on an empty folder, from several shells at once, and where the database is wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from config import embedded, env

DEADLINE = ("tax_invoice_deadline", "2026-10", "--json")


@pytest.fixture
def var() -> Iterator[Path]:
    """A var directory without anything; short, because a socket's path has a limit."""
    base = Path(tempfile.mkdtemp(prefix="jg-"))
    yield base / "var"
    embedded.stop(base / "var")
    shutil.rmtree(base)


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    without = {"DATABASE_URL", "CELERY_BROKER_URL"}
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=env.REPOSITORY,
        env={name: value for name, value in os.environ.items() if name not in without} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_commands_on_an_empty_folder_make_their_tables_once(var: Path) -> None:
    processes = [start(*DEADLINE, JEONGSAN_VAR=str(var)) for _number in range(2)]
    answers = [(process.communicate()[0], process.returncode) for process in processes]
    for output, code in answers:
        assert (json.loads(output), code) == ({"write_date_on": "2026-10-31", "deadline_on": "2026-11-10"}, 0)


def test_a_database_that_is_older_than_the_code_is_a_sentence(var: Path) -> None:
    with psycopg.connect(embedded.ensure_started(var).dsn) as connection:
        connection.execute("CREATE TABLE django_migrations (id bigint)")
    process = start(*DEADLINE, JEONGSAN_VAR=str(var))
    output, errors = process.communicate()
    assert (json.loads(output), errors, process.returncode) == (
        {
            "error": {
                "code": "database_not_migrated",
                "message": "the database lacks tables or columns: run manage.py migrate",
            }
        },
        "",
        2,
    )


def test_a_database_that_does_not_answer_is_a_sentence() -> None:
    process = start(*DEADLINE, DATABASE_URL="postgresql://a:hidden@127.0.0.1:1/none")
    output, errors = process.communicate()
    error = json.loads(output)["error"]
    assert (error["code"], errors, process.returncode) == ("database_unavailable", "", 2)
    assert error["message"].startswith("the database cannot be used: ")
    assert '"127.0.0.1", port 1 failed: Connection refused' in error["message"]
    assert "hidden" not in error["message"]


def test_a_database_without_room_for_one_more_is_a_sentence(var: Path) -> None:
    assert start(*DEADLINE, JEONGSAN_VAR=str(var)).wait() == 0
    dsn = embedded.ensure_started(var).dsn
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE guest LOGIN CONNECTION LIMIT 0")
    socket = str(var / "postgres" / "socket").replace("/", "%2F")
    process = start(*DEADLINE, DATABASE_URL=f"postgresql://guest@{socket}/jeongsan")
    assert json.loads(process.communicate()[0])["error"]["code"] == "database_unavailable"
    assert process.returncode == 2


LOAD_SAMPLES = """
import django
django.setup()
from django.utils import timezone
from config import demo_steps
from usage.periods import BillingMonth
print(len(demo_steps.load_samples(lambda text: None, now=timezone.now(), month=BillingMonth(2026, 9))))
"""


def test_the_samples_are_read_where_the_locale_is_not_utf_8(var: Path) -> None:
    assert start(*DEADLINE, JEONGSAN_VAR=str(var)).wait() == 0
    locale = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    answer = subprocess.run(
        [sys.executable, "-c", LOAD_SAMPLES],
        cwd=env.REPOSITORY,
        env=os.environ | locale | {"JEONGSAN_VAR": str(var), "DJANGO_SETTINGS_MODULE": "config.settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.stdout, answer.stderr, answer.returncode) == ("3\n", "", 0)


def test_wrong_arguments_are_an_error_object_where_json_was_asked_for(var: Path) -> None:
    process = start("quote", "--json", "--usage", "{}", JEONGSAN_VAR=str(var))
    output, _errors = process.communicate()
    message = "the following arguments are required: model"
    assert json.loads(output) == {"error": {"code": "invalid_arguments", "message": message}}
    assert process.returncode == 2
