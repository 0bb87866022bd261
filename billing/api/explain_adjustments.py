"""What the explanation of a line behind the usage says: a discount, a shortfall of the monthly minimum, a credit."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from billing.api.amounts import AmountDocument, ExactWonDocument, exact_json, krw
from billing.api.invoice_json import InvoiceLineDocument, line_json
from billing.documents import DocumentLine
from billing.selectors.explaining_adjustments import (
    AdjustmentExplanation,
    DiscountExplanation,
    MinimumExplanation,
    PromotionExplanation,
    RelievedLine,
)
from billing.totals import RelievedDay
from catalog.money import decimal_text


class DiscountTermDocument(serializers.Serializer):
    """What was agreed."""

    name = serializers.CharField()
    share = serializers.CharField(allow_null=True, help_text="Of `base`; null where it is so many won a month.")
    monthly = AmountDocument(allow_null=True, help_text="Won a month; null where it is a share.")
    provider = serializers.CharField(
        allow_null=True, help_text="The provider whose models it is for, if it is for one."
    )
    models = serializers.ListField(
        child=serializers.CharField(), allow_null=True, help_text="The models that it is for; null: it names none."
    )
    since = serializers.CharField(help_text="First day of the first month that it is for.")


class UsageLineDocument(serializers.Serializer):
    """A usage line of the invoice."""

    position = serializers.IntegerField()
    model = serializers.CharField()
    month = serializers.CharField(help_text="KST month in which it was used.")
    supply = AmountDocument(help_text="Before anything is taken off.")


class DiscountedLineDocument(UsageLineDocument):
    """What the discount takes off one usage line."""

    left = AmountDocument(help_text="What the discounts before it left of the line.")
    exact_krw = ExactWonDocument(
        help_text="The share of `supply`, at most `left`; or the won taken off in all, in proportion to `left`."
    )
    amount = AmountDocument(help_text="In whole won: the ones missing go to the largest fractions.")


class DiscountExplanationDocument(serializers.Serializer):
    """The lines' exact won add up to exact; exact without its fraction + rounding = the won taken off."""

    kind = serializers.ChoiceField(choices=("discount",))
    invoice = serializers.CharField()
    line = InvoiceLineDocument()
    discount = DiscountTermDocument()
    base = AmountDocument(help_text="The supply of the usage lines that it is for, before any discount.")
    left = AmountDocument(
        help_text="What the discounts before it left of them: shares come before won a month, then the older one."
    )
    agreed_krw = ExactWonDocument(help_text="`base` x `share`, or the won a month.")
    exact_krw = ExactWonDocument(help_text="That, as far as there is won left: the sum of the lines'.")
    cut = AmountDocument(help_text="Without its fraction.")
    rounding = AmountDocument(help_text="0 or 1: once, by the invoice's rounding.")
    taken = AmountDocument(help_text="What the line takes off; its `supply` is this with a minus.")
    lines = DiscountedLineDocument(many=True, help_text="The usage lines that it is for; `amount` adds up to `taken`.")


class MinimumPartDocument(serializers.Serializer):
    """A monthly minimum and the days of this month for which it held."""

    monthly = AmountDocument(help_text="Won of a whole month.")
    first_on = serializers.CharField()
    last_on = serializers.CharField(help_text="Included.")
    days = serializers.IntegerField()
    exact_krw = ExactWonDocument(help_text="`monthly` x `days` / `days_of_month`.")


class MinimumExplanationDocument(serializers.Serializer):
    """The parts add up to exact; exact without its fraction + rounding = minimum; minimum - (usage - discounts) = the line's
    won.
    """

    kind = serializers.ChoiceField(choices=("minimum",))
    invoice = serializers.CharField()
    line = InvoiceLineDocument()
    days_of_month = serializers.IntegerField()
    parts = MinimumPartDocument(many=True)
    exact_krw = ExactWonDocument()
    cut = AmountDocument(help_text="Without its fraction.")
    rounding = AmountDocument(help_text="0 or 1: once, by the invoice's rounding.")
    minimum = AmountDocument(help_text="What the month comes to at least, before promotional credit and VAT.")
    usage = AmountDocument(help_text="The supply of the usage.")
    discounts = AmountDocument(help_text="What discounts take off it.")
    left = AmountDocument(help_text="`usage` - `discounts`.")
    shortfall = AmountDocument(help_text="`minimum` - `left`: the line's won.")


class CreditTermDocument(serializers.Serializer):
    """The grant and how this invoice used it."""

    name = serializers.CharField()
    granted = AmountDocument()
    valid_from = serializers.CharField(help_text="First day of use that it pays, in Korea.")
    expires_on = serializers.CharField(help_text="Last day of use that it pays.")
    models = serializers.ListField(
        child=serializers.CharField(), allow_null=True, help_text="The models that it is for; null: all."
    )
    before = AmountDocument(help_text="What was left of it before this invoice.")
    used = AmountDocument(help_text="By this invoice.")
    after = AmountDocument(help_text="What this invoice left of it.")


class RelievedDayDocument(serializers.Serializer):
    """The won of a line that fall on a day that the credit covers."""

    day = serializers.CharField()
    left = AmountDocument(help_text="What discounts and the credits before it left of them.")
    amount = AmountDocument(help_text="What the credit pays.")


class RelievedLineDocument(UsageLineDocument):
    """What the credit pays of one usage line."""

    discount = AmountDocument(help_text="What discounts take off the line.")
    left = AmountDocument(help_text="What discounts and the credits before this one left of it.")
    covered = AmountDocument(help_text="How much of that was used on days that the credit covers.")
    amount = AmountDocument(help_text="What the credit pays.")
    days = RelievedDayDocument(
        many=True,
        help_text="The line's won are shared out to its days of use by largest remainder; `left` adds up to `covered`.",
    )


class CreditVatDocument(serializers.Serializer):
    """Credit reduces the supply before VAT: what the VAT would be without this credit, and is with it."""

    supply_before = AmountDocument(help_text="The invoice's supply after discounts, minimum and the credits before.")
    supply_after = AmountDocument()
    before = AmountDocument()
    after = AmountDocument()
    saved = AmountDocument(help_text="`before` - `after`; 0 on a zero-rated invoice.")


class PromotionExplanationDocument(serializers.Serializer):
    """used = the smaller of what was left of the grant and what it covers; the earliest days are paid first, and of one day
    the lines in their order.
    """

    kind = serializers.ChoiceField(choices=("promotion",))
    invoice = serializers.CharField()
    line = InvoiceLineDocument()
    credit = CreditTermDocument()
    covered = AmountDocument(help_text="What it could have paid: the sum of the lines'.")
    lines = RelievedLineDocument(many=True, help_text="The usage lines that it covers; `amount` adds up to `used`.")
    vat = CreditVatDocument()


ADJUSTMENT_DOCUMENTS = {
    "discount": DiscountExplanationDocument,
    "minimum": MinimumExplanationDocument,
    "promotion": PromotionExplanationDocument,
}


def adjustment_json(explained: AdjustmentExplanation) -> dict[str, Any]:
    """The explanation as one of `ADJUSTMENT_DOCUMENTS`."""
    head = {
        "kind": explained.line.kind,
        "invoice": explained.document.number,
        "line": line_json(explained.line, explained.document.margin),
    }
    if isinstance(explained, DiscountExplanation):
        return head | _discount_json(explained)
    if isinstance(explained, MinimumExplanation):
        return head | _minimum_json(explained)
    return head | _promotion_json(explained)


def _discount_json(explained: DiscountExplanation) -> dict[str, Any]:
    discount = explained.discount
    return {
        "discount": {
            "name": explained.line.model_name,
            "share": None if discount.share is None else decimal_text(discount.share),
            "monthly": None if discount.amount_krw is None else krw(discount.amount_krw),
            "provider": None if discount.provider is None else discount.provider.slug,
            "models": discount.models_covered,
            "since": discount.effective_from.isoformat(),
        },
        "base": krw(explained.base_krw),
        "left": krw(explained.left_krw),
        "agreed_krw": exact_json(explained.agreed_krw),
        "exact_krw": exact_json(explained.exact_krw),
        "cut": krw(explained.cut_krw),
        "rounding": krw(explained.rounding_krw),
        "taken": krw(explained.taken_krw),
        "lines": [
            _usage_json(part.line)
            | {
                "left": krw(part.left_krw),
                "exact_krw": exact_json(part.exact_krw),
                "amount": krw(part.amount_krw),
            }
            for part in explained.parts
        ],
    }


def _minimum_json(explained: MinimumExplanation) -> dict[str, Any]:
    return {
        "days_of_month": explained.days_of_month,
        "parts": [
            {
                "monthly": krw(part.amount_krw),
                "first_on": part.first_on.isoformat(),
                "last_on": part.last_on.isoformat(),
                "days": part.days,
                "exact_krw": exact_json(exact),
            }
            for part, exact in explained.parts
        ],
        "exact_krw": exact_json(explained.exact_krw),
        "cut": krw(explained.cut_krw),
        "rounding": krw(explained.rounding_krw),
        "minimum": krw(explained.minimum_krw),
        "usage": krw(explained.document.usage_krw),
        "discounts": krw(explained.document.discount_krw),
        "left": krw(explained.left_krw),
        "shortfall": krw(explained.line.amount_krw),
    }


def _promotion_json(explained: PromotionExplanation) -> dict[str, Any]:
    credit = explained.credit
    return {
        "credit": {
            "name": explained.line.model_name,
            "granted": krw(credit.amount_krw),
            "valid_from": credit.valid_from.isoformat(),
            "expires_on": credit.expires_on.isoformat(),
            "models": credit.models_covered,
            "before": krw(explained.before_krw),
            "used": krw(explained.taken_krw),
            "after": krw(explained.after_krw),
        },
        "covered": krw(explained.covered_krw),
        "lines": [_relieved_json(part) for part in explained.parts],
        "vat": {
            "supply_before": krw(explained.supply_before_krw),
            "supply_after": krw(explained.supply_after_krw),
            "before": krw(explained.vat_before_krw),
            "after": krw(explained.vat_after_krw),
            "saved": krw(explained.saved_vat_krw),
        },
    }


def _relieved_json(part: RelievedLine) -> dict[str, Any]:
    return _usage_json(part.line) | {
        "discount": krw(part.line.discount_krw),
        "left": krw(part.left_krw),
        "covered": krw(part.covered_krw),
        "amount": krw(part.amount_krw),
        "days": [_day_json(day) for day in part.days],
    }


def _day_json(day: RelievedDay) -> dict[str, Any]:
    return {"day": day.day.isoformat(), "left": krw(day.left_krw), "amount": krw(day.amount_krw)}


def _usage_json(line: DocumentLine) -> dict[str, Any]:
    return {
        "position": line.position,
        "model": line.model_id,
        "month": line.month,
        "supply": krw(line.amount_krw),
    }
