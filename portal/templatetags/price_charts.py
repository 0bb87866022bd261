"""The price of a model over time, as steps: SVG made on the server, its numbers in the table beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import template

from catalog.money import exact_product
from portal.selectors.storefront import PriceStep
from portal.templatetags.charts import scale_top
from portal.templatetags.storefront import per_million

register = template.Library()

#: The drawing's own units; it is stretched to the width of the page, the lines in it are not.
WIDTH, HEIGHT = 1000, 100
_MILLION = 1_000_000
_TENTH = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class Level:
    """A price from `x` to `end` on the drawing, for both lines; None where there is no number."""

    x: Decimal
    end: Decimal
    prompt_usd: Decimal | None
    completion_usd: Decimal | None


@register.inclusion_tag("portal/storefront/_price_chart.html")
def price_chart(steps: Sequence[PriceStep], now: datetime) -> dict[str, Any]:
    """Two step lines, input and output, in USD per million tokens; a gap where a price is variable or unknown.

    `steps` are in order and at least one. The time goes on to `now`, or beyond it to show what was announced.
    """
    first, last = steps[0].since, max(now, steps[-1].since)
    if last > now:
        last += (last - first) / 10
    levels = _levels(steps, first, last)
    amounts = [usd for level in levels for usd in (level.prompt_usd, level.completion_usd) if usd is not None]
    top = scale_top(exact_product(max(amounts, default=Decimal(0)), _MILLION)) / _MILLION
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "scale": [per_million(usd) for usd in (top, top / 2, Decimal(0))],
        "prompt_path": step_path([(level.x, level.end, level.prompt_usd) for level in levels], top),
        "completion_path": step_path([(level.x, level.end, level.completion_usd) for level in levels], top),
        "first": first,
        "last": last,
        "now_x": _place(now, first, last) if last > now else None,
        "count": len(steps),
    }


def step_path(levels: Sequence[tuple[Decimal, Decimal, Decimal | None]], top: Decimal) -> str:
    """The `d` of an SVG path through levels of (from x, to x, USD): level runs joined by upright lines, gaps left open."""
    parts = []
    joined_at: Decimal | None = None
    for x, end, usd in levels:
        if usd is None:
            joined_at = None
            continue
        y = (HEIGHT - usd * HEIGHT / top).quantize(_TENTH)
        parts.append(f"V{y}H{end}" if joined_at == x else f"M{x} {y}H{end}")
        joined_at = end
    return "".join(parts)


def _levels(steps: Sequence[PriceStep], first: datetime, last: datetime) -> list[Level]:
    levels = []
    for step in steps:
        until = min(step.until, last) if step.until else last
        levels.append(
            Level(
                _place(step.since, first, last),
                _place(until, first, last),
                step.price.prompt_usd,
                step.price.completion_usd,
            )
        )
    return levels


def _place(instant: datetime, first: datetime, last: datetime) -> Decimal:
    """Where an instant stands between the ends of the drawing, to a tenth of its units."""
    whole = (last - first).total_seconds()
    part = (instant - first).total_seconds()
    return (Decimal(part) * WIDTH / Decimal(whole)).quantize(_TENTH) if whole else Decimal(0)
