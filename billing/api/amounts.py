"""How money stands in our JSON: a string and its currency. Won are whole; USD keep every digit, without exponent."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from rest_framework import serializers

from billing.formatting import cut
from catalog.money import decimal_text

#: Of what is written as decimals; the fraction beside it is exact.
_DECIMALS = 12


class AmountDocument(serializers.Serializer):
    """An amount of money."""

    amount = serializers.CharField(help_text="A plain decimal; whole won.")
    currency = serializers.ChoiceField(choices=("KRW", "USD"))


class ExactWonDocument(serializers.Serializer):
    """Won before rounding."""

    decimal = serializers.CharField(help_text="Cut after 12 decimals; … where more follow.")
    fraction = serializers.CharField(help_text="Exact: numerator/denominator.")


def krw(won: int) -> dict[str, str]:
    """Whole won."""
    return {"amount": str(won), "currency": "KRW"}


def usd(dollars: Decimal) -> dict[str, str]:
    """Exact USD."""
    return {"amount": decimal_text(dollars), "currency": "USD"}


def usd_cents(dollars: Decimal) -> dict[str, str]:
    """USD to the cent, both places written: an amount to pay."""
    return {"amount": format(dollars, "f"), "currency": "USD"}


def exact_json(amount: Fraction) -> dict[str, str]:
    """Won before rounding (`ExactWonDocument`)."""
    return {
        "decimal": cut(amount, least=0, most=_DECIMALS).replace(",", ""),
        "fraction": f"{amount.numerator}/{amount.denominator}",
    }
