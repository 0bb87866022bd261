"""Filters for money, counts, times and states. They format and decide nothing."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.models import ApiKey
from billing.formatting import one_line
from billing.models import Invoice, TaxInvoice
from portal import formatting
from portal.formatting import State
from usage.periods import BillingMonth

register = template.Library()


@register.filter
def number(value: int) -> str:
    """12345 -> "12,345"."""
    return formatting.minus(f"{value:,}")


@register.filter
def won(value: int) -> str:
    return formatting.won(value)


@register.filter
def dollars(value: Decimal) -> str:
    return formatting.dollar_sign(value)


@register.filter
def usd(value: Decimal) -> str:
    return formatting.usd(value)


@register.filter
def usd_figure(value: Decimal) -> SafeString:
    """The same digits as `usd`, with those below the cent set back."""
    whole, _, part = formatting.usd(value).partition(".")
    return format_html('{}.{}<span class="rest">{}</span>', whole, part[:2], part[2:])


@register.filter
def rate(value: Decimal) -> str:
    return formatting.rate(value)


@register.filter
def kst(value: datetime) -> str:
    return formatting.kst(value)


@register.filter
def day(value: date) -> str:
    return formatting.day(value)


@register.filter
def month(value: BillingMonth | date | str) -> str:
    return formatting.month(value)


@register.filter
def line(value: str) -> str:
    """Somebody else's text without line breaks, control characters and directional overrides."""
    return one_line(value)


@register.filter
def invoice_state(value: Invoice) -> State:
    return formatting.invoice_state(value)


@register.filter
def tax_invoice_state(value: TaxInvoice | None) -> State:
    return formatting.tax_invoice_state(value)


@register.filter
def transmission_state(value: TaxInvoice) -> State:
    return formatting.transmission_state(value)


@register.filter
def api_key_state(value: ApiKey) -> State:
    return formatting.api_key_state(value)
