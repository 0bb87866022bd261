"""Reading delivery status notifications (RFC 3464): the mail in which a mail server says that a mail was not delivered.

Postfix, Exchange and Gmail agree on the machine-readable part and differ in everything around it, so only that part is read:
who, what happened, the status code, what the other server said. Which mail it was stands in the headers that are sent back
with it, or in those by which the report itself answers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, message_from_string, policy
from email.message import Message
from email.utils import parsedate_to_datetime

_NOTIFICATION = "message/delivery-status"
_STATUS = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b", re.ASCII)
_REPLY_CODE = re.compile(r"\b[245]\d\d\b", re.ASCII)
_FROM_LINE = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\r\n\r\n))From [^\r\n]*\r?\n")
_QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ReportedRecipient:
    """What one report says of one address. `action` is as in RFC 3464: failed, delayed, delivered, relayed, expanded."""

    address: str
    action: str
    status_code: str
    diagnostic: str
    reported_by: str
    bounced_at: datetime | None


@dataclass(frozen=True, slots=True)
class BounceReport:
    """One report. `names` are texts that may name the mail that it is about, the surest first."""

    report_id: str
    names: tuple[str, ...]
    recipients: tuple[ReportedRecipient, ...]


def split_mails(data: bytes) -> Iterator[bytes]:
    """The mails of an mbox, or the one of an .eml file."""
    if not data.startswith(b"From "):
        yield data
        return
    for mail in _FROM_LINE.split(data):
        if mail.strip():
            yield _QUOTED_FROM.sub(rb"\1", mail)


def read_report(mail: bytes) -> BounceReport | None:
    """What a mail reports; None for one that is no delivery status notification."""
    message = message_from_bytes(mail, policy=policy.compat32)
    status = next((part for part in message.walk() if part.get_content_type() == _NOTIFICATION), None)
    if status is None:
        return None
    blocks = [block for block in _blocks(status) if block.keys()]
    whole, each = (blocks[0], blocks[1:]) if blocks else (message, [])
    reported_by = _value(whole, "Reporting-MTA")
    sent_at = _instant(_text(message, "Date")) or _instant(_text(whole, "Arrival-Date"))
    own_id = _text(message, "Message-ID").encode() or mail
    return BounceReport(
        report_id=hashlib.sha256(own_id).hexdigest(),
        names=tuple(_names(message)),
        recipients=tuple(_recipient(block, reported_by, sent_at) for block in each),
    )


def status_of(text: str) -> str:
    """The enhanced status code in a text, or the reply code where it has none; empty without either."""
    found = _STATUS.search(text) or _REPLY_CODE.search(text)
    return found[0] if found else ""


def _recipient(block: Message, reported_by: str, sent_at: datetime | None) -> ReportedRecipient:
    diagnostic = _value(block, "Diagnostic-Code")
    return ReportedRecipient(
        address=_value(block, "Final-Recipient") or _value(block, "Original-Recipient"),
        action=_text(block, "Action").split("(")[0].strip().lower(),
        status_code=status_of(_text(block, "Status")) or status_of(diagnostic),
        diagnostic=diagnostic,
        reported_by=_value(block, "Remote-MTA") or reported_by,
        bounced_at=_instant(_text(block, "Last-Attempt-Date")) or sent_at,
    )


def _blocks(status: Message) -> list[Message]:
    """The header blocks of the machine-readable part: one about the report, then one about each address."""
    payload = status.get_payload()
    return [block for block in payload if isinstance(block, Message)] if isinstance(payload, list) else []


def _decoded(part: Message) -> str:
    raw = part.get_payload(decode=True)
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else ""


def _names(message: Message) -> Iterator[str]:
    for part in message.walk():
        returned: Message | None = None
        if part.get_content_type() == "message/rfc822" and part.is_multipart():
            returned = part.get_payload(0)  # type: ignore[assignment]  # the message inside
        elif part.get_content_type() == "text/rfc822-headers":
            returned = message_from_string(_decoded(part))
        if returned is not None:
            yield from (_text(returned, name) for name in ("X-Jeongsan-Delivery", "Message-ID"))
    yield from (_text(message, name) for name in ("X-Jeongsan-Delivery", "In-Reply-To", "References"))


def _value(block: Message, name: str) -> str:
    """A typed field's value, "rfc822; kim@gaon.example" -> "kim@gaon.example"."""
    kind, separator, value = _text(block, name).partition(";")
    return (value if separator else kind).strip().strip("<>")


def _text(block: Message, name: str) -> str:
    return " ".join(str(block.get(name, "")).split())


def _instant(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
