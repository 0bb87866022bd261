"""Draining the outbox in tests: by hand, over a real mail server, and looking at what came out."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller

from billing.models import Delivery, Invoice
from billing.services.delivering import DeliveryReport, deliver_due
from tests.billing.factories import NOW
from tests.billing.providers import Watched


def deliver(now: datetime = NOW, provider: Watched | None = None, limit: int = 100) -> DeliveryReport:
    return deliver_due(now=now, limit=limit, clock=lambda: now, provider=provider or Watched())


def mails(folder: Path) -> list[EmailMessage]:
    """Every mail in the folder, by file name."""
    return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in sorted(folder.glob("*.eml"))]  # type: ignore[misc]


def row_of(kind: str, invoice: Invoice | None = None) -> Delivery:
    rows = Delivery.objects.filter(kind=kind)
    return rows.get(invoice=invoice) if invoice else rows.get()


def facts(row: Delivery) -> tuple[str, int, datetime | None]:
    row.refresh_from_db()
    return row.status, row.attempts, row.claimed_until


def mail_only(*, due_at: datetime = datetime(2020, 1, 1, tzinfo=UTC)) -> None:
    """Leave only the mail to do, due under any clock: the tax invoice's deadline would depend on today's date."""
    Delivery.objects.filter(kind="tax_invoice").update(status="dead")
    Delivery.objects.filter(kind="invoice_email", status="pending").update(next_attempt_at=due_at)


class Mailbox:
    """An aiosmtpd handler that keeps what it is given, and refuses recipients of `refused.example`."""

    def __init__(self) -> None:
        self.received: list[tuple[list[str], bytes]] = []
        self.answer = "550 no such user"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address.endswith("@refused.example"):
            return self.answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.received.append((envelope.rcpt_tos, envelope.content))
        return "250 OK"


@contextmanager
def mail_server(settings: Any) -> Iterator[Mailbox]:
    """An SMTP server on this machine, to which Django's own backend delivers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    try:
        yield mailbox
    finally:
        controller.stop()
