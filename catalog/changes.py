"""How far two prices of one model are apart, component by component, in percent.

What is compared is what one more unit would cost, asked of the pricing itself: a cache price that appears where there
was none is compared with the prompt price that was charged for such tokens before, and a tier above 200,000 tokens
with what those tokens cost so far. A percentage exists only where the old price is not 0.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from .money import EXACT
from .pricing import MINUTES_PER_DAY, PriceSheet, Quantities

PERCENT_DECIMALS = 4

#: One unit more of each component, inside the prompt or beside it.
_INSIDE_PROMPT = {
    "input_cache_read": {"cache_read": 1},
    "input_cache_write": {"cache_write": 1},
    "input_cache_write_1h": {"cache_write": 1, "cache_write_1h": 1},
    "audio": {"audio_input": 1},
}
_BESIDE_PROMPT = {
    "completion": {"completion": 1},
    "internal_reasoning": {"completion": 1, "reasoning": 1},
    "audio_output": {"completion": 1, "audio_output": 1},
    "image_output": {"completion": 1, "image_output": 1},
    "request": {"requests": 1},
    "image": {"images": 1},
    "web_search": {"web_searches": 1},
}
_ANY_DAY = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ComponentChange:
    """One component whose price differs: USD per unit before and after, at the prompt size and hour where most.

    None stands for a component that the model lists no price for (a web search, an image).
    """

    key: str
    before_usd: Decimal | None
    after_usd: Decimal | None

    @property
    def share(self) -> Fraction | None:
        """(after - before) / before, exactly; None from 0 and where one of the two is not listed."""
        if not self.before_usd or self.after_usd is None:
            return None
        return (Fraction(self.after_usd) - Fraction(self.before_usd)) / Fraction(self.before_usd)

    @property
    def percent(self) -> Decimal | None:
        """The share in percent, to four decimals; None where there is none."""
        return None if self.share is None else as_percent(self.share)

    @property
    def meets_zero(self) -> bool:
        """Whether it is free on one side only."""
        return None not in (self.before_usd, self.after_usd) and (not self.before_usd or not self.after_usd)


def as_percent(share: Fraction) -> Decimal:
    """A share in percent, rounded to four decimals: for people, never to decide or to calculate with."""
    return EXACT.scaleb(Decimal(round(share * 100 * 10**PERCENT_DECIMALS)), -PERCENT_DECIMALS)


def component_changes(before: PriceSheet, after: PriceSheet) -> tuple[ComponentChange, ...]:
    """The components that cost something else afterwards, each at the prompt size and hour where it differs most.

    Only those that one of the two lists: where neither lists a cache price, cached tokens follow the prompt price.
    """
    keys = _listed_keys(before) | _listed_keys(after)
    largest: dict[str, ComponentChange] = {}
    for prompt_tokens, minute in _points(before, after):
        old, new = _unit_prices(before, prompt_tokens, minute), _unit_prices(after, prompt_tokens, minute)
        for key in keys & old.keys():
            change = ComponentChange(key, old[key], new[key])
            if old[key] != new[key] and (key not in largest or _size(change) > _size(largest[key])):
                largest[key] = change
    return tuple(largest[key] for key in sorted(largest))


def overall_percent(changes: Iterable[ComponentChange]) -> Decimal | None:
    """The largest of the percentages, up or down; None when a component comes from 0 or none has a percentage."""
    by_size = sorted(changes, key=_size)
    return by_size[-1].percent if by_size else None


def exceeds(changes: Iterable[ComponentChange], percent: Decimal) -> bool:
    """Whether a component changes by more than `percent`, up or down, or begins or ceases to be free."""
    limit = Fraction(percent) / 100
    return any(change.meets_zero or (change.share is not None and abs(change.share) > limit) for change in changes)


def _listed_keys(sheet: PriceSheet) -> set[str]:
    return set(sheet.prices).union(*(override.prices for override in sheet.overrides))


def _points(*sheets: PriceSheet) -> list[tuple[int, int]]:
    """Prompt sizes and minutes of the day between which no price of the sheets changes."""
    overrides = [override for sheet in sheets for override in sheet.overrides]
    sizes = {1} | {one.min_prompt_tokens + 1 for one in overrides if one.min_prompt_tokens is not None}
    minutes = {0} | {bound % MINUTES_PER_DAY for one in overrides for bound in one.window or ()}
    return [(size, minute) for size in sorted(sizes) for minute in sorted(minutes)]


def _unit_prices(sheet: PriceSheet, prompt_tokens: int, minute: int) -> Mapping[str, Decimal | None]:
    at = _ANY_DAY + timedelta(minutes=minute)

    def cost(**counts: int) -> Decimal | None:
        cost = sheet.cost(Quantities(prompt=prompt_tokens, **{"requests": 0, **counts}), at=at)
        return None if cost.unpriced else cost.total_usd

    plain = cost() or Decimal(0)
    prompt = sheet.cost(Quantities(prompt=prompt_tokens, requests=0), at=at).components[0].unit_price_usd
    prices: dict[str, Decimal | None] = {"prompt": prompt}
    for units, own_token in ((_BESIDE_PROMPT, Decimal(0)), (_INSIDE_PROMPT, prompt)):
        for key, counts in units.items():
            total = cost(**counts)
            prices[key] = None if total is None else EXACT.add(EXACT.subtract(total, plain), own_token)
    return prices


def _size(change: ComponentChange) -> tuple[int, Fraction]:
    """By which changes are compared: a beginning from 0 is larger than any percentage, and no percentage the smallest."""
    if change.share is not None:
        return 1, abs(change.share)
    return (2 if change.meets_zero else 0), Fraction(0)
