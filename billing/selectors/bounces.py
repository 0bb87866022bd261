"""Which mail a report is about: every mail carries the name of its outbox row twice, as Message-ID and in a header."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from billing.models import Delivery, DeliveryBounce, Invoice

#: Our header in every mail of the outbox.
NAME_HEADER = "X-Jeongsan-Delivery"
_SUBJECTS = {
    "invoice": (Delivery.Kind.INVOICE_EMAIL, "invoice_id"),
    "void": (Delivery.Kind.VOID_EMAIL, "invoice_id"),
    "top-up": (Delivery.Kind.TOP_UP_EMAIL, "top_up_request_id"),
    "credit-note": (Delivery.Kind.CREDIT_NOTE_EMAIL, "credit_note_id"),
}
_NAMES = {kind: name for name, (kind, _column) in _SUBJECTS.items()}
_NAME = re.compile(r"(invoice|void|top-up|credit-note)-([0-9]{1,18})-[0-9a-f]{8}(?:-again-[0-9]{1,18})?", re.ASCII)


def delivery_name(delivery: Delivery) -> str:
    """The name of an outbox row in its mail: "invoice-12-0a1b2c3d", with the hash of the address; the row sent again has
    its own. Raises KeyError for what is no mail.
    """
    digest = hashlib.sha256(delivery.recipient.encode()).hexdigest()[:8]
    again = f"-again-{delivery.resend_of_id}" if delivery.resend_of_id else ""
    return f"{_NAMES[Delivery.Kind(delivery.kind)]}-{delivery.subject_id}-{digest}{again}"


def delivery_named(texts: Iterable[str]) -> Delivery | None:
    """The outbox row that the first of these texts (header values) names; None when none of them names one."""
    for text in texts:
        for found in _NAME.finditer(text):
            kind, column = _SUBJECTS[found[1]]
            for delivery in Delivery.objects.filter(kind=kind, **{column: int(found[2])}):
                if delivery_name(delivery) == found[0]:
                    return delivery
    return None


def subject_text(delivery: Delivery) -> str:
    """What a mail is about, in the words of its document: "INV-202610-0001", "CN-202611-0002", a customer's slug."""
    if delivery.credit_note is not None:
        return delivery.credit_note.number
    if delivery.top_up_request is not None:
        return delivery.top_up_request.customer.slug
    return str(delivery.invoice or delivery.tax_invoice)


def is_resendable(delivery: Delivery) -> bool:
    """Whether it is a mail that came back or was given up, and was not sent again yet; not about a void invoice."""
    if delivery.kind not in _NAMES or Delivery.objects.filter(resend_of=delivery).exists():
        return False
    if (
        delivery.kind == Delivery.Kind.INVOICE_EMAIL
        and delivery.invoice
        and delivery.invoice.status == Invoice.Status.VOID
    ):
        return False
    came_back = delivery.bounces.filter(action=DeliveryBounce.Action.FAILED)
    return delivery.status == Delivery.Status.DEAD or came_back.exists()
