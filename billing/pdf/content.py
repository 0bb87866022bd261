"""What the invoice templates print: the frozen document, every number and date already written out."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from billing import formatting
from billing.documents import DocumentLine, DollarAmounts, InvoiceDocument, Party, ZeroRate
from billing.formatting import Column, date_text, deadline_text, month_text, one_line
from billing.hangul import amount_in_words
from catalog.money import decimal_text

# Enough digits of the USD total that the won come out the same to a billionth.
_FORMULA_DECIMALS = 12


#: How many events an invoice bills, and the digest of their hash chain.
Statement = tuple[int, str]


def invoice_content(document: InvoiceDocument, statement: Statement | None = None) -> dict[str, Any]:
    """Everything the templates print; text, lists of it, and whether a part is printed at all."""
    events, digest = statement or (0, "")
    locale = document.locale
    column = formatting.column([Fraction(line.sold_usd) for line in document.usage_lines])
    groups = _groups(document, column)
    has_cache = any(line.cache_read_tokens for line in document.usage_lines)
    return {
        "number": one_line(document.number),
        "month": month_text(document.month, locale),
        "issued_on": date_text(document.issued_on, locale),
        "issued_on_iso": document.issued_on.isoformat(),
        "due_on": date_text(document.due_on, locale),
        "period_start_on": date_text(document.period_start_on, locale),
        "period_end_on": date_text(document.period_end_on, locale),
        "tax_invoice_deadline_on": deadline_text(document),
        "seller": party_content(document.seller),
        "seller_phone": one_line(document.seller_phone),
        "buyer": party_content(document.buyer),
        "bank": one_line(document.bank.bank),
        "bank_number": one_line(document.bank.number),
        "bank_holder": one_line(document.bank.holder),
        "deposit_code": one_line(document.deposit_code),
        "words": amount_in_words(document.total_krw),
        "supply": formatting.won(document.supply_krw),
        "vat": formatting.won(document.vat_krw),
        "zero_rate": _zero_rate(document.zero_rate) if document.zero_rate else None,
        "total": formatting.won(document.total_krw),
        "has_supply": document.supply_krw > 0,
        "dollars": _dollars(document, document.dollars) if document.dollars else None,
        "usage": formatting.won(document.usage_krw),
        "usage_amount": formatting.lines_amount(document, document.usage_lines),
        "supply_amount": formatting.lines_amount(document, document.lines),
        "adjustments": [_adjustment(document, line) for line in document.adjustment_lines],
        "discount_total": formatting.won(document.discount_krw) if document.discount_krw else "",
        "shortfall_total": formatting.won(document.shortfall_krw) if document.shortfall_krw else "",
        "minimum": _minimum(document) if document.minimums else None,
        "promotion_total": formatting.won(document.promotion_krw) if document.promotion_krw else "",
        "prepaid": formatting.won(document.prepaid_krw) if document.prepaid_krw else "",
        "due": formatting.won(document.due_krw),
        "is_due": document.due_krw > 0,
        "groups": groups,
        "is_wide": _is_wide(document, column),
        "has_sums": len(groups) > 1,
        "has_cache": has_cache,
        "columns": "7" if has_cache else "6",
        "columns_before_cost": "5" if has_cache else "4",
        "cost": column.text(column.total),
        "cost_is_exact": column.is_exact,
        "formula": _formula(document),
        "events": f"{events:,}" if events else "",
        "digest": [digest[start : start + 16] for start in range(0, len(digest), 16)],
    }


def party_content(party: Party) -> dict[str, Any]:
    """What the box of a supplier or customer prints."""
    return {
        "is_foreign": party.kind == "foreign",
        "registration_no": formatting.registration_no(party),
        "name": one_line(party.name),
        "email": one_line(party.email),
        # Word by word: Korean lines break inside words unless told otherwise, and the renderer knows no keep-all.
        "name_words": one_line(party.name).split(),
        "ceo_name_words": one_line(party.ceo_name).split(),
        "address_words": one_line(party.address).split(),
        "business_type_words": one_line(party.business_type).split(),
        "business_class_words": one_line(party.business_class).split(),
    }


def _groups(document: InvoiceDocument, column: Column) -> list[dict[str, Any]]:
    """The lines by usage month, this month's first and earlier ones after it, each month with its sum."""
    cells = dict(zip((line.position for line in document.usage_lines), column.cells, strict=True))
    months = sorted({line.month for line in document.usage_lines}, reverse=True)
    groups = []
    for month in months:
        lines = [line for line in document.usage_lines if line.month == month]
        groups.append(
            {
                "month": month_text(month, document.locale),
                "is_last": month == months[-1],
                "is_supplementary": month != document.month,
                "is_previous_month": _month_number(month) == _month_number(document.month) - 1,
                "blocks": unbroken([_row(document, line, column.text(cells[line.position])) for line in lines]),
                "cost": column.text(sum(cells[line.position] for line in lines)),
                "supply": formatting.lines_amount(document, lines),
            }
        )
    return groups


def unbroken(rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Rows that must not be torn apart by a page break: a heading keeps its first row, a sum the last rows over it."""
    if len(rows) <= 3:
        return [{"rows": rows, "is_first": True, "is_last": True, "is_whole": True}]
    return [
        {"rows": rows[:1], "is_first": True, "is_last": False, "is_whole": True},
        {"rows": rows[1:-2], "is_first": False, "is_last": False, "is_whole": False},
        {"rows": rows[-2:], "is_first": False, "is_last": True, "is_whole": True},
    ]


def _is_wide(document: InvoiceDocument, column: Column) -> bool:
    """Whether some figure is longer than the line table's ordinary type and column widths hold."""
    return (
        max(line.requests for line in document.lines) > 9_999_999
        or max(max(line.prompt_tokens, line.completion_tokens) for line in document.lines) > 9_999_999_999
        or len(column.text(column.total)) > len("999,999.999999")
        or document.usage_krw > 99_999_999_999
    )


def _month_number(month: str) -> int:
    return int(month[:4]) * 12 + int(month[5:])


def _row(document: InvoiceDocument, line: DocumentLine, cost: str) -> dict[str, str]:
    return {
        "model_name": one_line(line.model_name),
        "model_id": one_line(line.model_id),
        "requests": formatting.won(line.requests),
        "prompt_tokens": formatting.won(line.prompt_tokens),
        "cache_read_tokens": formatting.won(line.cache_read_tokens),
        "completion_tokens": formatting.won(line.completion_tokens),
        "cost": cost,
        "amount": formatting.lines_amount(document, [line]),
    }


def _adjustment(document: InvoiceDocument, line: DocumentLine) -> dict[str, str]:
    """A line behind the usage; a discount says of which won it is which share, unless it is of all of them."""
    return {
        "kind": line.kind,
        "name": one_line(line.model_name),
        "percent": "" if line.share is None else formatting.percent_text(line.share),
        "base": formatting.won(line.base_krw),
        "sign": "–" if line.amount_krw < 0 else "",
        "amount": formatting.lines_amount(document, [line]).lstrip("-"),
    }


def _dollars(document: InvoiceDocument, amounts: DollarAmounts) -> dict[str, Any]:
    """An invoice that is read in dollars: its amounts, and how they follow from the won."""
    rate = document.exchange.rate
    assert rate is not None and document.due_usd is not None  # noqa: PT018 - the document is no document without both
    return {
        "supply": formatting.dollars(amounts.supply_usd),
        "vat": formatting.dollars(amounts.vat_usd),
        "total": formatting.dollars(amounts.total_usd),
        "due": formatting.dollars(document.due_usd),
        "bank_account": one_line(amounts.bank_account),
        "exact_supply": formatting.cut(document.supply_krw / Fraction(rate), least=2, most=4),
        "exact_vat": formatting.cut(document.vat_krw / Fraction(rate), least=2, most=4),
    }


def _zero_rate(rate: ZeroRate) -> dict[str, str]:
    return {"law": one_line(rate.law), "evidence": one_line(rate.evidence)}


def _minimum(document: InvoiceDocument) -> dict[str, Any]:
    """The month's minimum, by the days of each amount; dates only where a part is not the whole month."""
    days = document.period_end_on.day
    exact = sum((Fraction(part.amount_krw * part.days, days) for part in document.minimums), Fraction(0))
    return {
        "parts": [
            {
                "amount": formatting.won(part.amount_krw),
                "days": str(part.days),
                "dates": "" if part.days == days else f"{part.first_on.isoformat()} – {part.last_on.isoformat()}",
            }
            for part in document.minimums
        ],
        "days": str(days),
        "exact": formatting.cut(exact, least=0, most=4),
        "won": formatting.won(document.minimum_krw),
    }


def _formula(document: InvoiceDocument) -> dict[str, Any]:
    """How the won came about, with the digits an accountant needs to come to the same won on a calculator."""
    exchange = document.exchange
    costs = formatting.column([Fraction(day.cost_usd) for day in exchange.daily])
    bases = formatting.column([day.base_krw for day in exchange.daily])
    days = [
        {
            "used_on": day.used_on.isoformat(),
            "cost": costs.text(cost),
            "rate": formatting.rate_text(day.rate),
            "source_date": day.source_date.isoformat(),
            "base": bases.text(base),
        }
        for day, cost, base in zip(exchange.daily, costs.cells, bases.cells, strict=True)
    ]
    return {
        "rule": exchange.rule,
        "rounding": document.rounding,
        "cost": formatting.cut(document.sold_usd, least=2, most=_FORMULA_DECIMALS),
        "rate": formatting.rate_text(exchange.rate) if exchange.rate is not None else "",
        "source": one_line(exchange.source),
        "source_date": exchange.source_date.isoformat() if exchange.source_date else "",
        "margin": "" if document.margin is None else decimal_text(document.margin),
        "margin_percent": "" if document.margin is None else formatting.percent_text(document.margin),
        "terms": _terms(document),
        "exact_supply": formatting.cut(document.exact_supply_krw, least=0, most=4),
        "exact_vat": formatting.cut(Fraction(document.supply_krw, 10), least=0, most=1),
        "base": bases.text(bases.total),
        "days_cost": costs.text(costs.total),
        "blocks": unbroken(days),
    }


def _terms(document: InvoiceDocument) -> list[dict[str, Any]]:
    """The steps for each of the terms that usage sells on; none where all of it sells alike, at list price."""
    shares = document.sold_shares
    if len(shares) == 1 and shares[0].basis == "catalog":
        return []
    has_bases = any(share.basis != "catalog" for share in shares)
    return [
        {
            "models": ", ".join(dict.fromkeys(one_line(line.model_name) for line in share.lines)),
            "basis": share.basis if has_bases else "",
            "margin": decimal_text(share.margin),
            "margin_percent": formatting.percent_text(share.margin),
            "cost": formatting.cut(share.sold_usd, least=2, most=_FORMULA_DECIMALS),
            "base": formatting.cut(share.base_krw, least=0, most=4),
            "exact": formatting.cut(share.exact_krw, least=0, most=4),
        }
        for share in shares
    ]
