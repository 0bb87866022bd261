"""The PDFs of invoices and credit notes: a frozen document in, bytes out. The same document gives the same bytes.

Templates under `templates/invoices/<locale>/` and `templates/credit_notes/<locale>/` hold the wording of each language as
it is (see docs/adr/0002); they are given text only, so nothing is formatted, translated or looked up while the page is made.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from django.template import Context, Engine

from billing.documents import InvoiceDocument
from billing.notes import CreditNoteDocument
from billing.pdf.content import Statement, invoice_content
from billing.pdf.credit_notes import credit_note_content
from billing.pdf.errors import MissingFont, MissingLibrary, RenderingError, UnknownTemplate

__all__ = [
    "NOTE_TEMPLATE_VERSION",
    "TEMPLATE_VERSION",
    "MissingFont",
    "MissingLibrary",
    "RenderingError",
    "UnknownTemplate",
    "credit_note_html",
    "invoice_html",
    "render_credit_note",
    "render_invoice",
    "require_printing",
]

#: What `InvoiceDocument.template_version` says of documents that these templates were made for.
TEMPLATE_VERSION = 1
#: The same of `CreditNoteDocument.template_version`.
NOTE_TEMPLATE_VERSION = 1

_ENGINE = Engine(dirs=[str(Path(__file__).resolve().parents[2] / "templates")])


def render_invoice(document: InvoiceDocument, *, statement: Statement | None = None) -> bytes:
    """The PDF of an invoice: A4, embedded subset of NanumGothic, title, author and date set, no clock read.

    `statement` is how many events it bills and the digest of their hash chain; printed where it is given.
    Thread safe. Raises `RenderingError` (see `billing.pdf.errors`).
    """
    pdf: bytes = _press().print_html(invoice_html(document, statement=statement))
    return pdf


def invoice_html(document: InvoiceDocument, *, statement: Statement | None = None) -> str:
    """The page that is printed. Raises `UnknownTemplate` for a document of another version."""
    if document.template_version != TEMPLATE_VERSION:
        raise UnknownTemplate(f"{document.number}: no template of version {document.template_version}")
    template = _ENGINE.get_template(f"invoices/{document.locale}/invoice.html")
    return template.render(Context(invoice_content(document, statement)))


def render_credit_note(document: CreditNoteDocument) -> bytes:
    """The PDF of a credit note, as `render_invoice`."""
    pdf: bytes = _press().print_html(credit_note_html(document))
    return pdf


def credit_note_html(document: CreditNoteDocument) -> str:
    """The page that is printed. Raises `UnknownTemplate` for a document of another version."""
    if document.template_version != NOTE_TEMPLATE_VERSION:
        raise UnknownTemplate(f"{document.number}: no template of version {document.template_version}")
    template = _ENGINE.get_template(f"credit_notes/{document.locale}/credit_note.html")
    return template.render(Context(credit_note_content(document)))


def require_printing() -> None:
    """Raises `MissingFont` or `MissingLibrary`, each saying what to install, unless documents can be printed here."""
    _press().require_fonts()


def _press() -> ModuleType:
    """The press, loaded on first use: it takes half a second and Pango, and most commands print nothing."""
    try:
        from billing.pdf import press
    except OSError as error:
        raise MissingLibrary(
            "Pango could not be loaded. Install it (Debian, Ubuntu: apt-get install libpangoft2-1.0-0 "
            f"libharfbuzz-subset0 fonts-nanum), then start again. {error}"
        ) from error
    return press
