"""산출 근거 of a line behind the usage: a discount, a shortfall of the monthly minimum, promotional credit."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from django.utils.translation import gettext as _

from billing import formatting
from billing.selectors.explaining_adjustments import (
    AdjustmentExplanation,
    DiscountExplanation,
    MinimumExplanation,
    PromotionExplanation,
)

#: As on the page of a usage line.
_DECIMALS = 4


def adjustment_page(explained: AdjustmentExplanation) -> tuple[str, dict[str, Any]]:
    """The template of such a line, and what it shows."""
    document, line = explained.document, explained.line
    rate = document.exchange.rate
    context = {
        "explained": explained,
        "one": line,
        "document": document,
        "rate": "" if rate is None else formatting.rate_text(rate),
        "has_months": any(usage.month != document.month for usage in document.usage_lines),
    }
    if isinstance(explained, DiscountExplanation):
        return "invoice_line_discount.html", context | _discount(explained)
    if isinstance(explained, MinimumExplanation):
        return "invoice_line_minimum.html", context | _minimum(explained)
    return "invoice_line_promotion.html", context | _promotion(explained)


def _discount(explained: DiscountExplanation) -> dict[str, Any]:
    share = explained.discount.share
    return {
        "heading": f"{_('Discount')} · {explained.line.model_name}",
        "discount": explained.discount,
        "percent": "" if share is None else formatting.percent_text(share),
        "agreed": _won(explained.agreed_krw),
        "parts": [(part, _won(part.exact_krw)) for part in explained.parts],
        **_rounding(explained.exact_krw, explained.taken_krw),
    }


def _minimum(explained: MinimumExplanation) -> dict[str, Any]:
    return {
        "heading": _("Shortfall of the monthly minimum"),
        "parts": [(part, _won(exact)) for part, exact in explained.parts],
        **_rounding(explained.exact_krw, explained.minimum_krw),
    }


def _promotion(explained: PromotionExplanation) -> dict[str, Any]:
    return {
        "heading": f"{_('Promotional credit')} · {explained.line.model_name}",
        "credit": explained.credit,
    }


def _rounding(exact: Fraction, rounded_krw: int) -> dict[str, Any]:
    return {"exact": _won(exact), "is_whole": exact == rounded_krw, "rounded": rounded_krw}


def _won(exact: Fraction) -> str:
    return formatting.cut(exact, least=0, most=_DECIMALS)
