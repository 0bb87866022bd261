"""What the credit note's templates print: the frozen document, every number and date already written out."""

from __future__ import annotations

from typing import Any

from billing import formatting
from billing.formatting import date_text, month_text, one_line
from billing.hangul import amount_in_words
from billing.notes import CreditedDollars, CreditedLine, CreditNoteDocument
from billing.pdf.content import party_content, unbroken

#: 수정사유 as it is named on the document.
_AMENDMENTS = {
    "ko": {
        "01": "기재사항의 착오·정정",
        "02": "공급가액의 변동",
        "03": "환입",
        "04": "계약의 해제",
        "05": "내국신용장 사후개설",
        "06": "착오에 의한 이중발급",
    },
    "en": {
        "01": "correction of an error (착오·정정)",
        "02": "change of the supply value (공급가액 변동)",
        "03": "return (환입)",
        "04": "cancellation of the contract (계약의 해제)",
        "05": "local letter of credit (내국신용장 사후개설)",
        "06": "issued twice by mistake (이중발급)",
    },
}
#: Longer won than this need the narrow type of the line table.
_WIDE_KRW = 99_999_999_999


def credit_note_content(document: CreditNoteDocument) -> dict[str, Any]:
    """Everything the templates print; won are positive, the templates set the minus."""
    locale = document.locale
    won = {
        name: formatting.won(getattr(document, f"{name}_krw"))
        for name in (
            *("supply", "total", "left_supply", "left_vat", "left_total"),
            *("invoice_supply", "invoice_vat", "invoice_total", "before_supply"),
        )
    }
    return {
        **won,
        "dollars": _dollars(document.dollars) if document.dollars else None,
        "vat_sign": formatting.won_sign(0) if not document.vat_krw else f"–{formatting.won_sign(document.vat_krw)}",
        "vat_back": _back(document.vat_krw),
        "before_vat_back": _back(document.before_vat_krw),
        "has_vat": document.invoice_vat_krw > 0,
        "before_total": formatting.won(document.before_total_krw) if document.before_total_krw else "",
        "number": one_line(document.number),
        "month": month_text(document.invoice_month, locale),
        "issued_on": date_text(document.issued_on, locale),
        "issued_on_iso": document.issued_on.isoformat(),
        "amendment": _AMENDMENTS[locale][document.amendment_code],
        "reason": one_line(document.reason),
        "invoice_number": one_line(document.invoice_number),
        "invoice_issued_on": date_text(document.invoice_issued_on, locale),
        "write_date_on": date_text(document.write_date_on, locale),
        "tax_deadline_on": "" if document.tax_deadline_on is None else date_text(document.tax_deadline_on, locale),
        "seller": party_content(document.seller),
        "seller_phone": one_line(document.seller_phone),
        "buyer": party_content(document.buyer),
        "words": amount_in_words(document.total_krw),
        "blocks": unbroken([_row(document, line) for line in document.lines]),
        "is_wide": max(document.invoice_total_krw, document.total_krw) > _WIDE_KRW,
    }


def _dollars(amounts: CreditedDollars) -> dict[str, str]:
    return {
        "invoice_total": formatting.dollars(amounts.invoice_usd),
        "before_total": formatting.dollars(amounts.before_usd),
        "total": formatting.dollars(amounts.total_usd),
        "left_total": formatting.dollars(amounts.left_usd),
    }


def _back(krw: int) -> str:
    """Won that are taken back; none have no minus."""
    return f"–{formatting.won(krw)}" if krw else "0"


def _row(document: CreditNoteDocument, line: CreditedLine) -> dict[str, str]:
    return {
        "position": str(line.position),
        "model_name": one_line(line.model_name),
        "model_id": one_line(line.model_id),
        "month": "" if line.month == document.invoice_month else month_text(line.month, document.locale),
        "before": formatting.won(line.before_krw) if line.before_krw else "",
        "billed": formatting.won(line.billed_krw),
        "supply": formatting.won(line.supply_krw),
        "vat": _back(line.vat_krw),
        "total": formatting.won(line.total_krw),
    }
