"""The invoice mail as a mail program gets it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from django.core.mail import BadHeaderError

from billing.documents import BankAccount, InvoiceDocument
from billing.mail import attachment_name, invoice_email
from tests.documents.golden import assert_golden
from tests.documents.samples import DOLLAR_ACCOUNT, FOREIGN, in_dollars, invoice
from tests.documents.test_pdf import HOSTILE, INERT

PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"


def received(document: InvoiceDocument, **changes: Any) -> EmailMessage:
    """The mail after its way over the wire."""
    arguments: dict[str, Any] = {
        "recipient": "tax@gaonrobotics.example",
        "pdf": PDF,
        "message_id": "<invoice-1.8f14e45f@jeongsan.example>",
        "from_email": "주식회사 정산 <billing@jeongsan.example>",
    }
    sent = invoice_email(document, **(arguments | changes)).message().as_bytes()
    return message_from_bytes(sent, policy=policy.default)


def body(mail: EmailMessage, subtype: str) -> str:
    part = mail.get_body((subtype,))
    assert part is not None
    content: str = part.get_content()
    return content


@pytest.mark.parametrize("locale", ["ko", "en"])
@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("mail", invoice()),
        ("mail_foreign", invoice(buyer=FOREIGN, seller_phone="")),
        ("mail_dollars", in_dollars(invoice(prepaid_krw=500_000), bank_account=DOLLAR_ACCOUNT)),
    ],
)
def test_text_and_html_are_the_golden_ones(name: str, document: InvoiceDocument, locale: str) -> None:
    mail = received(replace(document, locale=locale))
    assert_golden(f"{locale}/{name}.txt", body(mail, "plain"))
    assert_golden(f"{locale}/{name}.html", body(mail, "html"))


@pytest.mark.parametrize(
    ("locale", "subject"),
    [
        ("ko", "[주식회사 정산] 2026년 10월 이용요금 청구서 (₩1,008,380)"),
        ("en", "[주식회사 정산] Invoice for October 2026 usage (₩1,008,380)"),
    ],
)
def test_headers(locale: str, subject: str) -> None:
    mail = received(invoice(locale=locale))
    # Folding may leave a space in front, which mail programs drop.
    assert mail["Subject"].strip() == subject
    assert mail["From"] == "주식회사 정산 <billing@jeongsan.example>"
    assert mail["To"] == "tax@gaonrobotics.example"
    assert mail["Message-ID"] == "<invoice-1.8f14e45f@jeongsan.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Cc"] is None
    assert mail["Bcc"] is None


@pytest.mark.parametrize(
    ("locale", "name", "header"),
    [
        (
            "ko",
            "청구서_INV-202610-0001.pdf",
            b"filename*=utf-8''%EC%B2%AD%EA%B5%AC%EC%84%9C_INV-202610-0001.pdf",
        ),
        ("en", "Invoice_INV-202610-0001.pdf", b'filename="Invoice_INV-202610-0001.pdf"'),
    ],
)
def test_attachment_keeps_its_name_and_its_bytes(locale: str, name: str, header: bytes) -> None:
    document = invoice(locale=locale)
    [attachment] = received(document).iter_attachments()
    assert attachment.get_content_type() == "application/pdf"
    assert attachment.get_filename() == name
    assert attachment.get_content() == PDF
    sent = invoice_email(
        document, recipient="a@b.example", pdf=PDF, message_id="<1@b.example>", from_email="c@d.example"
    )
    assert header in sent.message().as_bytes()


def test_attachment_name_cannot_leave_a_folder() -> None:
    assert attachment_name(invoice(number="../../x\r\n/y")) == "청구서_.._.._x_y.pdf"


@pytest.mark.parametrize("locale", ["ko", "en"])
def test_hostile_text_is_text(locale: str) -> None:
    party = replace(FOREIGN, name=HOSTILE, email=HOSTILE)
    mail = received(
        invoice(
            locale=locale,
            number=HOSTILE,
            seller=party,
            seller_phone=HOSTILE,
            buyer=party,
            bank=BankAccount(bank=HOSTILE, number=HOSTILE, holder=HOSTILE),
            deposit_code=HOSTILE,
        )
    )
    assert INERT in mail["Subject"]
    assert mail["Bcc"] is None
    # Names of both parties, e-mail, phone, number, three of the bank, deposit code; the HTML has our name twice.
    assert body(mail, "plain").count(INERT) == 9
    html = body(mail, "html")
    assert "<script" not in html
    assert "<link" not in html
    assert "<img" not in html
    assert html.count("<style") == 1
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt; {{7*7}}") == 10


def test_html_needs_nothing_from_outside() -> None:
    html = body(received(invoice()), "html")
    assert not [name for name in ("http:", "https:", "src=", "url(", "@import", "<img", "<link") if name in html]


def test_worker_threads_share_the_templates() -> None:
    documents = [invoice(), invoice(locale="en")] * 4
    with ThreadPoolExecutor(4) as pool:
        mails = list(pool.map(received, documents))
    assert [body(mail, "html") for mail in mails] == [body(received(document), "html") for document in documents]


@pytest.mark.parametrize("header", ["recipient", "from_email", "message_id"])
def test_line_break_in_a_given_header_is_refused(header: str) -> None:
    with pytest.raises(BadHeaderError):
        received(invoice(), **{header: "a@b.example\r\nBcc: c@d.example"})
