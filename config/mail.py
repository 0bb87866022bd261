"""Mail as files, for a machine without a mail server: one .eml a message, named by its Message-ID."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend


class EmlFileBackend(BaseEmailBackend):
    """Writes each message to MAIL_DIR atomically. Sending the same Message-ID again replaces the same file."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        directory = Path(settings.MAIL_DIR)
        directory.mkdir(parents=True, exist_ok=True)
        for email in email_messages:
            message: Any = email.message()  # Django's SafeMIME classes, which know `linesep`
            name = re.sub(r"[^A-Za-z0-9._@-]", "_", str(message["Message-ID"]).strip("<>"))
            partial = directory / f".{name}.{os.getpid()}"
            partial.write_bytes(message.as_bytes(linesep="\r\n"))
            partial.rename(directory / f"{name}.eml")
        return len(email_messages)
