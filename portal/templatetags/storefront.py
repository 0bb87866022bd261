"""How the public pages write prices, modalities and features. They format and decide nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from billing.formatting import cut
from catalog.money import decimal_text, exact_product
from catalog.pricing import MINUTES_PER_DAY, Override, PriceSheet
from portal.formatting import FEATURES, MODALITIES, PRICED
from portal.selectors.storefront import ShelfItem

register = template.Library()

_MILLION = 1_000_000
_KST_MINUTES = 9 * 60
_MOST_DECIMALS = 6

_PER_MILLION = gettext_lazy("1M tokens")
#: Price keys in the order of the page: what is paid for, per what, and whether 0 means that it costs nothing. Where it
#: does not, those tokens are paid as the tokens around them, so nothing is said of them.
_KEYS = (
    ("prompt", PRICED["prompt"], _PER_MILLION, True),
    ("completion", PRICED["completion"], _PER_MILLION, True),
    ("input_cache_read", PRICED["input_cache_read"], _PER_MILLION, True),
    ("input_cache_write", PRICED["input_cache_write"], _PER_MILLION, True),
    ("input_cache_write_1h", PRICED["input_cache_write_1h"], _PER_MILLION, True),
    ("internal_reasoning", PRICED["internal_reasoning"], _PER_MILLION, False),
    ("audio", PRICED["audio"], _PER_MILLION, False),
    ("audio_output", PRICED["audio_output"], _PER_MILLION, False),
    ("image_output", PRICED["image_output"], _PER_MILLION, False),
    ("image", PRICED["image"], pgettext_lazy("price per", "image"), True),
    ("web_search", PRICED["web_search"], pgettext_lazy("price per", "search"), True),
    ("request", PRICED["request"], pgettext_lazy("price per", "request"), False),
)

# Line drawings on a 24 x 24 grid. The word always stands beside them, so they say nothing to a screen reader.
_ICONS = {
    "text": "M5 6V4h14v2M12 4v16M9 20h6",
    "image": "M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
    "file": "M14 3H6v18h12V7zM14 3v4h4M9 12h6M9 16h6",
    "audio": "M12 3a3 3 0 0 0-3 3v6a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3zM5 11a7 7 0 0 0 14 0M12 18v3",
    "video": "M3 6h12v12H3zM15 10l6-3v10l-6-3z",
    "embeddings": "M5 5h.01M12 5h.01M19 5h.01M5 12h.01M12 12h.01M19 12h.01M5 19h.01M12 19h.01M19 19h.01",
    "tools": "M14.5 6.5a4 4 0 0 0-5.3 5L3 17.7 6.3 21l6.2-6.2a4 4 0 0 0 5-5.3l-2.6 2.6-2.4-.6-.6-2.4z",
    "reasoning": "M9 18h6M10 21h4M12 3a6 6 0 0 0-3.5 10.9c.6.5 1 1.2 1 2.1h5c0-.9.4-1.6 1-2.1A6 6 0 0 0 12 3z",
    "structured_outputs": "M8 4c-2 0-2 1-2 3s0 4-2 5c2 1 2 3 2 5s0 3 2 3M16 4c2 0 2 1 2 3s0 4 2 5c-2 1-2 3-2 5s0 3-2 3",
    "web_search_options": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18",
}


@dataclass(frozen=True, slots=True)
class Tag:
    """A drawing and a word."""

    icon: str
    text: str


@dataclass(frozen=True, slots=True)
class PriceRow:
    """One line of a price list: what, its USD, per what."""

    label: str
    usd: str
    unit: str


@dataclass(frozen=True, slots=True)
class PriceConditions:
    """When other prices hold: a row a condition, with a price for each of `labels` ("" where the base price stays)."""

    labels: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]


@register.filter
def per_million(usd: Decimal) -> str:
    """USD per token -> USD per million tokens: 0.00000125 -> "$1.25"; at most six decimals, "…" where more follow."""
    return _usd(exact_product(usd, _MILLION))


@register.filter
def signed_percent(percent: Decimal | None) -> str:
    """-20.0000 -> "−20%", 12.3456 -> "+12.3%"; nothing for None."""
    if percent is None:
        return ""
    tenths = decimal_text(abs(percent).quantize(Decimal("0.1")))
    return f"{'−' if percent < 0 else '+'}{tenths}%"


@register.filter
def modality(name: str) -> str:
    return str(MODALITIES.get(name, name))


@register.filter
def modalities(names: Sequence[str]) -> str:
    return ", ".join(modality(name) for name in _in_order(names))


@register.filter
def tags(item: ShelfItem) -> list[Tag]:
    """What sets a model apart: what it reads and makes beside text, and what it can do."""
    reads = [Tag(name, modality(name)) for name in _in_order(item.inputs) if name != "text"]
    makes = [Tag(name, _("%(kind)s output") % {"kind": modality(name)}) for name in item.outputs if name != "text"]
    shown = ("tools", "reasoning", "structured_outputs", "web_search_options")
    return [*reads, *makes, *(Tag(name, str(FEATURES[name])) for name in shown if name in item.parameters)]


@register.simple_tag
def icon(name: str) -> SafeString | str:
    """A drawing by name, nothing for a name without one."""
    path = _ICONS.get(name)
    if path is None:
        return ""
    return format_html('<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d="{}" /></svg>', path)


@register.filter
def price_rows(sheet: PriceSheet) -> list[PriceRow]:
    """The base prices of a model."""
    return [
        PriceRow(str(label), _price(sheet.prices[key], unit is _PER_MILLION), str(unit))
        for key, label, unit, free_at_zero in _KEYS
        if key in sheet.prices and (free_at_zero or sheet.prices[key])
    ]


@register.filter
def price_conditions(sheet: PriceSheet) -> PriceConditions:
    """The prices that hold instead for long prompts and at hours of the day."""
    used = [entry for entry in _KEYS if any(entry[0] in override.prices for override in sheet.overrides)]
    rows = [
        (
            _condition(override),
            [
                _price(override.prices[key], unit is _PER_MILLION) if key in override.prices else ""
                for key, _label, unit, _free in used
            ],
        )
        for override in sheet.overrides
    ]
    return PriceConditions([f"{label} / {unit}" for _key, label, unit, _free in used], rows)


def _in_order(names: Sequence[str]) -> list[str]:
    return [*(name for name in MODALITIES if name in names), *(name for name in names if name not in MODALITIES)]


def _condition(override: Override) -> str:
    parts = []
    if override.min_prompt_tokens is not None:
        parts.append(_("Requests with more than %(count)s input tokens") % {"count": f"{override.min_prompt_tokens:,}"})
    if override.window is not None:
        start, end = (_clock(minute + _KST_MINUTES) for minute in override.window)
        parts.append(_("Daily %(start)s to %(end)s (KST)") % {"start": start, "end": end})
    return " · ".join(parts)


def _clock(minute: int) -> str:
    hours, minutes = divmod(minute % MINUTES_PER_DAY, 60)
    return f"{hours:02}:{minutes:02}"


def _price(usd: Decimal, is_per_token: bool) -> str:
    return per_million(usd) if is_per_token else _usd(usd)


def _usd(amount: Decimal) -> str:
    """Dollars with two to six decimals; what would look like nothing is written out."""
    if 0 < amount < Decimal(1).scaleb(-_MOST_DECIMALS + 1):
        return f"${decimal_text(amount)}"
    return f"${cut(Fraction(amount), least=2, most=_MOST_DECIMALS)}"
