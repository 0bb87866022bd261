"""Our mails: those that bring an invoice or a credit note (text, HTML and the PDF, made of the frozen document), those that
say that an invoice is void or a prepayment low, and alerts.

The wording stands in `templates/emails/<locale>/` as it is (see docs/adr/0002); templates are given text only.
"""

from __future__ import annotations

import re
from email.utils import parseaddr
from pathlib import Path

from css_inline import CSSInliner
from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.template import Context, Engine

from billing import formatting
from billing.documents import USAGE_KINDS, DollarAmounts, InvoiceDocument, TopUpDocument
from billing.formatting import date_text, deadline_text, month_text, one_line
from billing.models import Alert, InvoiceVoid
from billing.notes import CreditNoteDocument
from catalog.money import ZERO, exact_sum

_TEMPLATES = Path(__file__).resolve().parents[1] / "templates"
_ENGINE = Engine(dirs=[str(_TEMPLATES)])
# Mail programs drop style sheets, so the rules go onto the elements; what remains is the dark-mode query.
_INLINER = CSSInliner(keep_style_tags=False, keep_at_rules=True, load_remote_stylesheets=False)
_ATTACHMENT_NAMES = {"ko": "청구서_{}.pdf", "en": "Invoice_{}.pdf"}
_NOTE_NAMES = {"ko": "차감청구서_{}.pdf", "en": "Credit-note_{}.pdf"}


def invoice_email(
    document: InvoiceDocument, *, recipient: str, pdf: bytes, message_id: str, from_email: str, replaces: str = ""
) -> EmailMultiAlternatives:
    """One message to one recipient, ready for Django's mail backend; nothing is sent here.

    `message_id` is given, angle brackets included, so that a second attempt is recognised as the same mail. `replaces` is
    the number of the voided invoice that this one was issued instead of.
    """
    content = _content(document) | {"replaces": one_line(replaces)}
    message = _message(f"{document.locale}/invoice", content, recipient, message_id, from_email)
    message.attach(attachment_name(document), pdf, "application/pdf")
    return message


def credit_note_email(
    document: CreditNoteDocument, *, recipient: str, pdf: bytes, message_id: str, from_email: str
) -> EmailMultiAlternatives:
    """The mail that brings a credit note, as `invoice_email`."""
    message = _message(f"{document.locale}/credit_note", _note_content(document), recipient, message_id, from_email)
    message.attach(note_attachment_name(document), pdf, "application/pdf")
    return message


def void_email(
    document: InvoiceDocument, *, void: InvoiceVoid, recipient: str, message_id: str, from_email: str
) -> EmailMultiAlternatives:
    """The mail that says that an invoice is void, and why."""
    content = _content(document) | {
        "voided_on": date_text(void.voided_on, document.locale),
        "reason": one_line(void.reason),
        "is_error": "yes" if void.amendment_code == "01" else "",
    }
    return _message(f"{document.locale}/void", content, recipient, message_id, from_email)


def top_up_email(document: TopUpDocument, *, recipient: str, message_id: str, from_email: str) -> EmailMessage:
    """A mail that a prepayment runs low, and which deposit is asked for; plain text."""
    content = Context(
        {
            "buyer_name": one_line(document.buyer_name),
            "seller_name": one_line(document.seller_name),
            "seller_email": one_line(document.seller_email),
            "seller_phone": one_line(document.seller_phone),
            "requested_on": date_text(document.requested_on, document.locale),
            "prepaid": formatting.won_sign(document.prepaid_krw),
            "unbilled": formatting.won_sign(document.unbilled_krw),
            "available": formatting.won_sign(document.available_krw),
            "threshold": formatting.won_sign(document.threshold_krw),
            "amount": "" if document.amount_krw is None else formatting.won_sign(document.amount_krw),
            "bank": one_line(document.bank.bank),
            "bank_number": one_line(document.bank.number),
            "bank_holder": one_line(document.bank.holder),
            "deposit_code": one_line(document.deposit_code),
        },
        autoescape=False,
    )
    subject, body = (
        _ENGINE.get_template(f"emails/{document.locale}/{name}").render(content)
        for name in ("top_up.subject.txt", "top_up.txt")
    )
    headers = {"Message-ID": message_id, "Auto-Submitted": "auto-generated"}
    return EmailMessage(subject=one_line(subject), body=body, from_email=from_email, to=[recipient], headers=headers)


def alert_email(alert: Alert, *, recipient: str, from_email: str) -> EmailMessage:
    """An alert to the operators, in the site's own language. The same alert always has the same Message-ID."""
    domain = parseaddr(from_email)[1].rpartition("@")[2] or "localhost"
    content = Context(
        {
            "kind": alert.kind,
            "subject": one_line(alert.subject),
            "detail": [(one_line(name), one_line(str(value))) for name, value in alert.detail.items()],
        },
        autoescape=False,
    )
    subject, body = (
        _ENGINE.get_template(f"emails/{settings.LANGUAGE_CODE}/{name}").render(content)
        for name in ("alert.subject.txt", "alert.txt")
    )
    headers = {"Message-ID": f"<alert-{alert.pk}@{domain}>", "Auto-Submitted": "auto-generated"}
    return EmailMessage(subject=one_line(subject), body=body, from_email=from_email, to=[recipient], headers=headers)


def attachment_name(document: InvoiceDocument) -> str:
    """ "청구서_INV-202610-0001.pdf" or "Invoice_INV-202610-0001.pdf"; nothing in it can leave a download folder."""
    return _ATTACHMENT_NAMES[document.locale].format(re.sub(r"[^\w.-]+", "_", document.number))


def note_attachment_name(document: CreditNoteDocument) -> str:
    """ "차감청구서_CN-202612-0001.pdf" or "Credit-note_CN-202612-0001.pdf"."""
    return _NOTE_NAMES[document.locale].format(re.sub(r"[^\w.-]+", "_", document.number))


def _message(
    name: str, content: dict[str, str], recipient: str, message_id: str, from_email: str
) -> EmailMultiAlternatives:
    """The message of the three templates of that name: subject, text, HTML."""

    def rendered(kind: str) -> str:
        template = _ENGINE.get_template(f"emails/{name}.{kind}")
        return template.render(Context(content, autoescape=kind == "html"))

    message = EmailMultiAlternatives(
        subject=one_line(rendered("subject.txt")),
        body=rendered("txt"),
        from_email=from_email,
        to=[recipient],
        # RFC 3834: no out-of-office answers to a machine.
        headers={"Message-ID": message_id, "Auto-Submitted": "auto-generated"},
    )
    message.attach_alternative(_INLINER.inline(rendered("html")), "text/html")
    return message


def _note_content(document: CreditNoteDocument) -> dict[str, str]:
    """Everything the credit note's templates print, as text."""
    locale = document.locale
    return {
        "seller_name": one_line(document.seller.name),
        "seller_email": one_line(document.seller.email),
        "seller_phone": one_line(document.seller_phone),
        "buyer_name": one_line(document.buyer.name),
        "number": one_line(document.number),
        "issued_on": date_text(document.issued_on, locale),
        "reason": one_line(document.reason),
        "invoice_number": one_line(document.invoice_number),
        "invoice_issued_on": date_text(document.invoice_issued_on, locale),
        "month": month_text(document.invoice_month, locale),
        "tax_deadline_on": "" if document.tax_deadline_on is None else date_text(document.tax_deadline_on, locale),
        "supply": formatting.won_sign(document.supply_krw),
        "vat": ("–" if document.vat_krw else "") + formatting.won_sign(document.vat_krw),
        "total": formatting.won_sign(document.total_krw),
        "left": formatting.won_sign(document.left_total_krw),
        "total_usd": formatting.dollar_sign(document.dollars.total_usd) if document.dollars else "",
        "left_usd": formatting.dollar_sign(document.dollars.left_usd) if document.dollars else "",
    }


def _content(document: InvoiceDocument) -> dict[str, str]:
    """Everything the templates print, as text: the amounts in the currency that the invoice is read in, and in won below."""
    return _won_content(document) | (_dollar_content(document, document.dollars) if document.dollars else {})


def _dollar_content(document: InvoiceDocument, amounts: DollarAmounts) -> dict[str, str]:
    """What an invoice in dollars says otherwise, and besides."""

    def said(*kinds: str) -> str:
        lines = (line.amount_usd or ZERO for line in document.lines if line.kind in kinds)
        return formatting.dollar_sign(exact_sum(lines))

    assert document.exchange.rate is not None and document.due_usd is not None  # noqa: PT018 - else it is no document
    return {
        "supply": formatting.dollar_sign(amounts.supply_usd),
        "vat": formatting.dollar_sign(amounts.vat_usd),
        "total": formatting.dollar_sign(amounts.total_usd),
        "usage": said(*USAGE_KINDS),
        "discount": said("discount") if document.discount_krw else "",
        "shortfall": said("minimum") if document.shortfall_krw else "",
        "promotion": said("promotion") if document.promotion_krw else "",
        "due": formatting.dollar_sign(document.due_usd),
        "supply_krw": formatting.won_sign(document.supply_krw),
        "vat_krw": formatting.won_sign(document.vat_krw),
        "total_krw": formatting.won_sign(document.total_krw),
        "due_krw": formatting.won_sign(document.due_krw),
        "rate": formatting.rate_text(document.exchange.rate),
        "bank_account_usd": one_line(amounts.bank_account),
        "in_dollars": "yes",
    }


def _won_content(document: InvoiceDocument) -> dict[str, str]:
    locale = document.locale
    return {
        "seller_name": one_line(document.seller.name),
        "seller_email": one_line(document.seller.email),
        "seller_phone": one_line(document.seller_phone),
        "buyer_name": one_line(document.buyer.name),
        "number": one_line(document.number),
        "month": month_text(document.month, locale),
        "issued_on": date_text(document.issued_on, locale),
        "due_on": date_text(document.due_on, locale),
        "tax_invoice_deadline_on": deadline_text(document),
        "supply": formatting.won_sign(document.supply_krw),
        "vat": formatting.won_sign(document.vat_krw),
        "zero_rate": "yes" if document.zero_rate else "",
        "total": formatting.won_sign(document.total_krw),
        "usage": formatting.won_sign(document.usage_krw),
        "has_adjustments": "yes" if document.adjustment_lines else "",
        "discount": formatting.won_sign(-document.discount_krw) if document.discount_krw else "",
        "shortfall": formatting.won_sign(document.shortfall_krw) if document.shortfall_krw else "",
        "promotion": formatting.won_sign(-document.promotion_krw) if document.promotion_krw else "",
        "prepaid": formatting.won_sign(-document.prepaid_krw) if document.prepaid_krw else "",
        "due": formatting.won_sign(document.due_krw),
        "is_due": "yes" if document.due_krw else "",
        "has_supply": "yes" if document.supply_krw else "",
        "bank": one_line(document.bank.bank),
        "bank_number": one_line(document.bank.number),
        "bank_holder": one_line(document.bank.holder),
        "deposit_code": one_line(document.deposit_code),
    }
