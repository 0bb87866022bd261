"""How money stands in our JSON: a string and its currency. Won are whole; USD keep every digit, without exponent."""

from __future__ import annotations

from decimal import Decimal

from rest_framework import serializers

from catalog.money import decimal_text


class AmountDocument(serializers.Serializer):
    """An amount of money."""

    amount = serializers.CharField(help_text="A plain decimal; whole won.")
    currency = serializers.ChoiceField(choices=("KRW", "USD"))


def krw(won: int) -> dict[str, str]:
    """Whole won."""
    return {"amount": str(won), "currency": "KRW"}


def usd(dollars: Decimal) -> dict[str, str]:
    """Exact USD."""
    return {"amount": decimal_text(dollars), "currency": "USD"}


def usd_cents(dollars: Decimal) -> dict[str, str]:
    """USD to the cent, both places written: an amount to pay."""
    return {"amount": format(dollars, "f"), "currency": "USD"}
