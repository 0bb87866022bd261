"""Several workers at the same outbox, and workers that are killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

from billing.models import Delivery, InvoicePdf, SandboxTaxDocument
from billing.services.delivering import LEASE, MAX_ATTEMPTS, DeliveryReport
from tests.billing import factories
from tests.billing.factories import NOW
from tests.billing.outbox import deliver, facts, mail_only, mail_server, mails, row_of
from tests.billing.providers import Watched
from tests.database import database_url

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mail_dir")]

ROOT = Path(__file__).resolve().parents[2]
ONE_SECOND = timedelta(seconds=1)


def test_a_claim_holds_until_its_lease_runs_out(mail_dir: Path) -> None:
    factories.issued_invoice()
    Delivery.objects.update(claimed_until=NOW + LEASE, attempts=1)
    assert deliver(NOW + LEASE - ONE_SECOND) == DeliveryReport(done=0, retried=0, dead=0)
    assert deliver(NOW + LEASE) == DeliveryReport(done=2, retried=0, dead=0)
    assert set(Delivery.objects.values_list("attempts", flat=True)) == {2}


def test_a_row_that_kills_every_worker_is_given_up(mail_dir: Path) -> None:
    factories.issued_invoice()
    Delivery.objects.update(claimed_until=NOW, attempts=MAX_ATTEMPTS)
    assert deliver() == DeliveryReport(done=0, retried=0, dead=2)
    assert set(Delivery.objects.values_list("last_error", flat=True)) == {"every worker that tried it died"}
    assert not mail_dir.exists()


def test_a_failure_after_the_lease_ran_out_leaves_the_next_workers_claim_alone(mail_dir: Path) -> None:
    factories.issued_invoice()
    row = row_of("tax_invoice")
    theirs = NOW + 2 * LEASE

    def lose_the_claim() -> None:
        Delivery.objects.filter(pk=row.pk).update(claimed_until=theirs, attempts=2)
        raise OSError("slow")

    assert deliver(provider=Watched(before=lose_the_claim)).retried == 1
    assert facts(row) == ("pending", 2, theirs)


@pytest.mark.django_db(transaction=True)
def test_workers_at_once_send_each_mail_once(settings: Any) -> None:
    factories.issued_invoice(factories.customer(email2="boss@gaon.example"))
    barrier = threading.Barrier(4)
    reports: list[DeliveryReport] = []

    def work() -> None:
        try:
            barrier.wait()
            reports.append(deliver())
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    with mail_server(settings) as mailbox:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(report.done for report in reports) == 3
    assert sorted(recipients[0] for recipients, _ in mailbox.received) == [
        "boss@gaon.example",
        "tax@gaonrobotics.example",
    ]
    assert InvoicePdf.objects.count() == SandboxTaxDocument.objects.count() == 1
    assert set(Delivery.objects.values_list("status", "attempts")) == {("done", 1)}


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Ends with the process's own words when it ends first."""
    give_up_at = time.monotonic() + 60
    while not condition():
        if process.poll() is not None or time.monotonic() > give_up_at:
            process.kill()
            pytest.fail(f"it never came to that: {process.communicate()[1].decode()}")
        time.sleep(0.02)


@pytest.mark.django_db(transaction=True)
def test_a_worker_killed_between_sending_and_writing_it_down(mail_dir: Path) -> None:
    """The one edge where a mail goes out twice; by its Message-ID it is the same mail, here the same file."""
    factories.issued_invoice()
    mail_only()
    row = row_of("invoice_email")
    environment = os.environ | {"DATABASE_URL": database_url(), "MAIL_DIR": str(mail_dir)}
    with psycopg.connect(database_url()) as gate, psycopg.connect(database_url()) as brake:
        gate.execute("LOCK TABLE billing_invoicepdf IN EXCLUSIVE MODE")
        process = subprocess.Popen(
            [sys.executable, "manage.py", "deliver_due"], cwd=ROOT, env=environment, stderr=subprocess.PIPE
        )
        # It claimed the row and can't store the PDF: hold what it writes after sending, then let it go on and send.
        wait_until(lambda: facts(row)[1] == 1, process)
        brake.execute("SELECT 1 FROM billing_delivery WHERE id = %s FOR UPDATE", [row.pk])
        gate.commit()
        gate.autocommit = True
        waiting = "SELECT pid FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
        blocked_by = [brake.info.backend_pid]
        wait_until(lambda: gate.execute(waiting, blocked_by).fetchone() is not None, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        # The server does not notice yet and would still carry out the statement that waits for the lock.
        gate.execute(f"SELECT pg_terminate_backend(pid, 10000) FROM ({waiting}) AS writer", blocked_by)
    status, attempts, claimed_until = facts(row)
    assert (status, attempts) == ("pending", 1)
    assert claimed_until is not None
    [sent] = mails(mail_dir)

    assert deliver(claimed_until - ONE_SECOND).done == 0
    assert deliver(claimed_until).done == 1
    assert facts(row) == ("done", 2, None)
    [again] = mails(mail_dir)
    assert again["Message-ID"] == sent["Message-ID"]
    assert [part.get_content() for part in again.iter_attachments()] == [
        part.get_content() for part in sent.iter_attachments()
    ]
    assert InvoicePdf.objects.count() == 1
