"""How the pages write money, counts and times. Words follow the language of the request; digits never change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction

from django.utils import timezone
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from accounts.models import ApiKey
from billing import formatting
from billing.formatting import Column
from billing.models import Allocation, Invoice, LedgerTransaction, TaxInvoice
from usage.periods import KST, BillingMonth

#: What models read and make.
MODALITIES = {
    "text": gettext_lazy("Text"),
    "image": gettext_lazy("Image"),
    "file": gettext_lazy("File"),
    "audio": gettext_lazy("Audio"),
    "video": gettext_lazy("Video"),
    "embeddings": gettext_lazy("Embeddings"),
}
#: Request parameters that people choose a model by.
FEATURES = {
    "tools": gettext_lazy("Tool calls"),
    "reasoning": gettext_lazy("Reasoning"),
    "structured_outputs": gettext_lazy("Structured outputs"),
    "response_format": gettext_lazy("JSON mode"),
    "web_search_options": gettext_lazy("Web search"),
}
#: What is paid for, by the key of its price.
PRICED = {
    "prompt": gettext_lazy("Input"),
    "completion": gettext_lazy("Output"),
    "input_cache_read": gettext_lazy("Cache read"),
    "input_cache_write": gettext_lazy("Cache write"),
    "input_cache_write_1h": gettext_lazy("Cache write (1 hour)"),
    "internal_reasoning": gettext_lazy("Reasoning"),
    "audio": gettext_lazy("Audio input"),
    "audio_output": gettext_lazy("Audio output"),
    "image_output": gettext_lazy("Image output"),
    "image": gettext_lazy("Image input"),
    "web_search": gettext_lazy("Web search"),
    "request": gettext_lazy("Request fee"),
}


@dataclass(frozen=True, slots=True)
class State:
    """A word for where something stands, and the tone in which it is shown: neutral, good, warn or bad."""

    text: str
    tone: str = "neutral"


def locale() -> str:
    """ "ko" or "en": the language of the page that is being made."""
    return "en" if (get_language() or "").startswith("en") else "ko"


def minus(text: str) -> str:
    """The text of an amount with the sign that stands before amounts taken off: "-9,539" -> "−9,539"."""
    return text.replace("-", "−")


def won(amount: int) -> str:
    """1811764 -> "1,811,764원", in English "₩1,811,764"."""
    return minus(f"{amount:,}원" if locale() == "ko" else formatting.won_sign(amount))


def dollar_sign(amount: Decimal) -> str:
    """Dollars to pay, to the cent: "US$1,234.50"."""
    return minus(formatting.dollar_sign(amount))


def usd(amount: Decimal) -> str:
    """Dollars with two to six decimals; what needs more is rounded to six, as the totals of the tables are."""
    shown = formatting.column([Fraction(amount)])
    return f"${shown.text(shown.total)}"


def usd_columns(*groups: Sequence[Decimal]) -> list[tuple[list[str], str]]:
    """The cells and the total of each group, all with the same number of decimals, without a dollar sign.

    Groups of one amount of usage (by day, by model) thus show the same total, letter by letter.
    """
    columns = [formatting.column([Fraction(amount) for amount in group]) for group in groups]
    decimals = max((one.decimals for one in columns), default=2)
    return [_with_decimals(one, decimals) for one in columns]


def _with_decimals(one: Column, decimals: int) -> tuple[list[str], str]:
    factor = 10 ** (decimals - one.decimals)
    texts = [formatting.scaled(cell * factor, decimals) for cell in (*one.cells, one.total)]
    return texts[:-1], texts[-1]


def kst(instant: datetime) -> str:
    """2026-11-03 05:05 UTC -> "2026-11-03 14:05 KST"."""
    return f"{instant.astimezone(KST):%Y-%m-%d %H:%M} KST"


def day(value: date) -> str:
    """ "2026년 11월 3일" or "3 November 2026"."""
    return formatting.date_text(value, locale())


def month(value: BillingMonth | date | str) -> str:
    """ "2026년 11월" or "November 2026"."""
    text = f"{value:%Y-%m}" if isinstance(value, date) else str(value)
    return formatting.month_text(text, locale())


def rate(value: Decimal) -> str:
    """What one dollar costs: "1,443.20원" or "₩1,443.20"."""
    text = formatting.rate_text(value)
    return f"{text}원" if locale() == "ko" else f"₩{text}"


def invoice_state(invoice: Invoice, *, today: date | None = None) -> State:
    """Whether an invoice waits for money, is late, paid or cancelled. `today` is a day in Korea."""
    if invoice.status == Invoice.Status.PAID:
        return State(_("Paid"), "good")
    if invoice.status == Invoice.Status.VOID:
        return State(_("Cancelled"))
    today = today or timezone.now().astimezone(KST).date()
    if invoice.due_on is not None and invoice.due_on < today:
        return State(_("Overdue"), "bad")
    return State(_("Awaiting payment"), "warn")


def tax_invoice_state(tax_invoice: TaxInvoice | None) -> State:
    """How far the 세금계산서 has come, in the words of the one who waits for it."""
    if tax_invoice is None or tax_invoice.status == TaxInvoice.Status.WITHDRAWN:
        return State(_("None"))
    if tax_invoice.status == TaxInvoice.Status.ISSUED:
        if tax_invoice.nts_status == TaxInvoice.NtsStatus.REJECTED:
            return State(_("Being corrected"), "warn")
        return State(_("Issued"), "good")
    if tax_invoice.status == TaxInvoice.Status.FAILED:
        return State(_("Being checked"), "warn")
    return State(_("Being issued"))


def transmission_state(tax_invoice: TaxInvoice) -> State:
    """Whether the tax office has it."""
    states = {
        TaxInvoice.NtsStatus.ACCEPTED: State(_("Received by the tax office"), "good"),
        TaxInvoice.NtsStatus.REJECTED: State(_("Rejected by the tax office"), "bad"),
        TaxInvoice.NtsStatus.PENDING: State(_("Waiting for transmission")),
    }
    return states.get(TaxInvoice.NtsStatus(tax_invoice.nts_status), State(_("Not sent yet")))


def api_key_state(key: ApiKey, *, now: datetime | None = None) -> State:
    """Whether a key may call."""
    if key.revoked_at is not None:
        return State(_("Revoked"))
    if not key.is_usable(at=now or timezone.now()):
        return State(_("Expired"), "warn")
    return State(_("In use"), "good")


def settlement(source: str) -> str:
    """What an invoice was settled by, in the customer's words."""
    sources = Allocation.Source
    words = {
        sources.PAYMENT: _("Deposit received"),
        sources.PREPAYMENT: _("Paid from prepayment"),
        sources.WRITE_OFF: _("Remainder waived"),
        sources.CREDIT_NOTE: _("Credit note"),
    }
    return words[sources(source)]


def movement(kind: str) -> str:
    """What a ledger transaction was to the customer, in its words and not in those of our books."""
    kinds = LedgerTransaction.Kind
    words = {
        kinds.INVOICE_ISSUED: _("Invoice"),
        kinds.PAYMENT_RECEIVED: _("Deposit received"),
        kinds.PAYMENT_ASSIGNED: _("Deposit recognised as yours"),
        kinds.PAYMENT_ALLOCATED: _("Invoice paid from a deposit"),
        kinds.PREPAYMENT_RECEIVED: _("Prepayment topped up"),
        kinds.PREPAYMENT_APPLIED: _("Invoice paid from the prepayment"),
        kinds.PREPAYMENT_WITHDRAWN: _("Prepayment turned back into a deposit"),
        kinds.REFUNDED: _("Refunded to you"),
        kinds.WRITTEN_OFF: _("Remainder waived"),
        kinds.CREDIT_NOTE_ISSUED: _("Credit note"),
        kinds.CREDIT_NOTE_APPLIED: _("Credit note set against the invoice"),
        kinds.REVERSAL: _("Earlier entry taken back"),
    }
    return words.get(kinds(kind)) or str(kinds(kind).label)
