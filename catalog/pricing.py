"""What one response costs in USD: prices of one model x quantities of one response, exactly.

A `PriceSheet` is the parsed form of one catalog price object: decimal strings of USD per token (or per image,
search, request) and conditional overrides. Parsing refuses what it does not know, because a price key or a
condition that is skipped silently is a wrong bill; pricing itself never parses and never rounds.

The formula is DESIGN section 4. Every token of the prompt is priced once (cache read, cache write, audio or
plain) and every token of the completion once (reasoning, audio, image or plain).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple, Self

import msgspec

from .money import EXACT, ZERO, parse_decimal

PRICE_KEYS = frozenset(
    {
        "prompt",
        "completion",
        "request",
        "image",
        "image_token",
        "image_output",
        "audio",
        "audio_output",
        "input_audio_cache",
        "web_search",
        "internal_reasoning",
        "input_cache_read",
        "input_cache_write",
        "input_cache_write_1h",
        "discount",
    }
)
CONDITION_KEYS = frozenset({"min_prompt_tokens", "utc_start", "utc_end"})
REQUIRED_KEYS = ("prompt", "completion")

MINUTES_PER_DAY = 24 * 60
#: `parse_decimal` takes no more.
MAX_PRICE_DECIMALS = 28
_add, _multiply, _scale = EXACT.add, EXACT.multiply, EXACT.scaleb
_MAX_THRESHOLD_TOKENS = 10**12


class PriceError(ValueError):
    """A price object that cannot be used, and why.

    `code` is "unknown_price_key", "invalid_price", "unknown_condition" or "hidden_base_price"; `key` is the
    price or condition key that is to blame.
    """

    def __init__(self, code: str, key: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.key = key


class Quantities(msgspec.Struct, frozen=True, gc=False):
    """What one response consumed. Tokens, except `images`, `web_searches` and `requests`, which are counts.

    `prompt` holds all input tokens: `cache_read`, `cache_write` and `audio_input` (audio that was not read
    from the cache) are inside it, `cache_write_1h` is inside `cache_write`. `completion` holds all output
    tokens: `reasoning`, `audio_output` and `image_output` are inside it.
    """

    prompt: int = 0
    completion: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    image_output: int = 0
    images: int = 0
    web_searches: int = 0
    requests: int = 1


class CostComponent(NamedTuple):
    """One row of the arithmetic: `quantity` (tokens or counts) x `unit_price_usd` = `amount_usd`, exactly.

    `key` is the price key that was applied; for cache tokens without a listed cache price that is "prompt". A named
    tuple and no dataclass, because several are made for every event that is rated.
    """

    key: str
    quantity: int
    unit_price_usd: Decimal
    amount_usd: Decimal


_row = CostComponent._make


class Cost(NamedTuple):
    """The exact USD cost of one response, with the rows that add up to it.

    `unpriced` names what the response consumed and the model lists no price for ("web_search", "image"): the total
    does not hold it, so the caller must not take the total for the whole cost.
    """

    total_usd: Decimal
    components: tuple[CostComponent, ...]
    unpriced: tuple[str, ...] = ()


class _Price(NamedTuple):
    """The key that was applied and its USD per unit."""

    key: str
    usd: Decimal


@dataclass(frozen=True, slots=True)
class _Rates:
    """The prices in force for one request, with every fallback already taken."""

    prompt: _Price
    cache_read: _Price
    cache_write: _Price
    cache_write_1h: _Price
    completion: _Price
    reasoning: _Price | None  # None: these tokens cost what the tokens around them cost
    audio_input: _Price | None
    audio_output: _Price | None
    image_output: _Price | None
    request: _Price | None
    image: _Price | None
    web_search: _Price | None
    plain: bool  # prompt, cache and completion prices only
    #: Prompt, cache read, cache write, 1-hour cache write, completion as whole numbers of 10^-MAX_PRICE_DECIMALS USD.
    units: tuple[int, int, int, int, int]

    @classmethod
    def of(cls, prices: Mapping[str, Decimal]) -> Self:
        """Prices by key -> rates. A cache price that is not listed falls back, never to free."""
        prompt = _Price("prompt", prices["prompt"])
        cache_read = _listed(prices, "input_cache_read") or prompt
        cache_write = _listed(prices, "input_cache_write") or prompt
        cache_write_1h = _listed(prices, "input_cache_write_1h") or cache_write
        completion = _Price("completion", prices["completion"])
        special = {
            "reasoning": _above_zero(prices, "internal_reasoning"),
            "audio_input": _above_zero(prices, "audio"),
            "audio_output": _above_zero(prices, "audio_output"),
            "image_output": _above_zero(prices, "image_output"),
            "request": _above_zero(prices, "request"),
            "image": _listed(prices, "image"),
            "web_search": _listed(prices, "web_search"),
        }
        return cls(
            prompt=prompt,
            cache_read=cache_read,
            cache_write=cache_write,
            cache_write_1h=cache_write_1h,
            completion=completion,
            plain=not any(special.values()),
            units=(_units(prompt), _units(cache_read), _units(cache_write), _units(cache_write_1h), _units(completion)),
            **special,
        )


@dataclass(frozen=True, slots=True)
class Override:
    """One conditional price list: applies when every condition it carries holds."""

    prices: Mapping[str, Decimal]
    min_prompt_tokens: int | None  # strictly greater than, whole request
    window: tuple[int, int] | None  # minutes of the UTC day, half open, wraps midnight when start > end

    def applies(self, prompt_tokens: int, minute: int) -> bool:
        """Whether it applies to a request of `prompt_tokens` at a minute of the UTC day."""
        if self.min_prompt_tokens is not None and prompt_tokens <= self.min_prompt_tokens:
            return False
        return self.window is None or _in_window(self.window, minute)


@dataclass(frozen=True, slots=True)
class PriceSheet:
    """The prices of one model, parsed once; `cost` may be called from several threads."""

    prices: Mapping[str, Decimal]
    overrides: tuple[Override, ...]
    _base: _Rates = field(repr=False, compare=False)
    _overridden: dict[int, _Rates] = field(repr=False, compare=False)  # by bit set of the overrides that apply

    @classmethod
    def parse(cls, components: Mapping[str, str], overrides: Sequence[Mapping[str, Any]] = ()) -> Self:
        """Parse price strings (USD per unit) and overrides. Raises PriceError for what is unknown or no price."""
        prices = _parse_prices(components, where="")
        for key in REQUIRED_KEYS:
            if key not in prices:
                raise PriceError("invalid_price", key, f"{key}: no price listed")
        parsed = tuple(_parse_override(override, f"overrides[{index}].") for index, override in enumerate(overrides))
        return cls(prices, parsed, _Rates.of(prices), {})

    @property
    def thresholds(self) -> tuple[int, ...]:
        """Prompt sizes (tokens) above which another override applies, ascending."""
        return tuple(sorted({one.min_prompt_tokens for one in self.overrides if one.min_prompt_tokens is not None}))

    @property
    def window_edges(self) -> tuple[int, ...]:
        """Minutes of the UTC day at which an override begins or ends to apply, ascending."""
        return tuple(sorted({minute for one in self.overrides if one.window is not None for minute in one.window}))

    def cost(self, quantities: Quantities, *, at: datetime) -> Cost:
        """The exact cost of one response that happened `at` (aware). Contradictory counts are cut to fit."""
        return self.cost_of_alike(quantities, prompt_tokens=quantities.prompt, at=at)

    def cost_of_alike(self, quantities: Quantities, *, prompt_tokens: int, at: datetime) -> Cost:
        """The exact cost of responses whose quantities were added up, and for all of which the same overrides apply as
        for one of `prompt_tokens` that happened `at` (aware).
        """
        rates = self._rates_for(prompt_tokens, at) if self.overrides else self._base
        rows: list[CostComponent] = []
        total = ZERO
        for (key, usd), quantity in _parts(quantities, rates):
            if quantity > 0:
                amount = _multiply(usd, quantity)
                total = _add(total, amount)
                rows.append(_row((key, quantity, usd, amount)))
        unpriced = _unpriced(quantities, rates) if quantities.images or quantities.web_searches else ()
        return Cost(total, tuple(rows), unpriced)

    def total_usd(self, quantities: Quantities, *, at: datetime) -> Decimal | None:
        """The total of `cost`, exact, without its rows; None where `cost` would name something unpriced.

        What only prompt, cache and completion prices concern, which is nearly everything, is summed in whole numbers.
        """
        rates = self._rates_for(quantities.prompt, at) if self.overrides else self._base
        read, write, one_hour = quantities.cache_read, quantities.cache_write, quantities.cache_write_1h
        fresh = quantities.prompt - read - write
        if not rates.plain or fresh < 0 or one_hour > write or quantities.images or quantities.web_searches:
            cost = self.cost(quantities, at=at)
            return None if cost.unpriced else cost.total_usd
        prompt, cache_read, cache_write, cache_write_1h, completion = rates.units
        units = fresh * prompt + quantities.completion * completion
        if read:
            units += read * cache_read
        if write:
            units += (write - one_hour) * cache_write + one_hour * cache_write_1h
        return _scale(units, -MAX_PRICE_DECIMALS)

    def hidden_base_keys(self, at: datetime) -> tuple[str, ...]:
        """Price keys whose base value a listing read `at` (aware) does not show.

        Some listings print the time window of the moment as the top-level prices. When the windows that match
        `at` say exactly what the top level says, the price outside the windows is unknown, unless windows
        cover the day.
        """
        windows = [override for override in self.overrides if override.window and override.min_prompt_tokens is None]
        minute = _utc_minute(at)
        in_force: dict[str, Decimal] = {}
        for override in windows:
            if override.applies(0, minute):
                in_force.update(override.prices)
        if not in_force or any(self.prices.get(key) != price for key, price in in_force.items()):
            return ()
        return tuple(sorted(key for key in in_force if not _covers_day(windows, key)))

    def _rates_for(self, prompt_tokens: int, at: datetime) -> _Rates:
        minute = _utc_minute(at)
        applying = 0
        for index, override in enumerate(self.overrides):
            if override.applies(prompt_tokens, minute):
                applying |= 1 << index
        if not applying:
            return self._base
        rates = self._overridden.get(applying)
        if rates is None:
            prices = dict(self.prices)
            for index, override in enumerate(self.overrides):
                if applying >> index & 1:
                    prices.update(override.prices)
            rates = self._overridden[applying] = _Rates.of(prices)
        return rates


def _parts(quantities: Quantities, rates: _Rates) -> list[tuple[_Price, int]]:
    """Every token once: the parts of the prompt add up to the prompt, those of the completion to the completion."""
    fresh, cache_read, cache_write = quantities.prompt, quantities.cache_read, quantities.cache_write
    one_hour = quantities.cache_write_1h
    if cache_read > fresh:
        cache_read = fresh
    fresh -= cache_read
    if cache_write > fresh:
        cache_write = fresh
    fresh -= cache_write
    if one_hour > cache_write:
        one_hour = cache_write
    parts = [
        (rates.prompt, fresh),
        (rates.cache_read, cache_read),
        (rates.cache_write, cache_write - one_hour),
        (rates.cache_write_1h, one_hour),
        (rates.completion, quantities.completion),
    ]
    if not rates.plain:
        _split_special(parts, quantities, rates)
    return parts


def _split_special(parts: list[tuple[_Price, int]], quantities: Quantities, rates: _Rates) -> None:
    """Move audio, reasoning and images out of the plain parts where they have prices of their own; add the fees."""
    prompt, fresh = parts[0]
    if rates.audio_input is not None:
        audio = min(quantities.audio_input, fresh)
        parts[0] = (prompt, fresh - audio)
        parts.append((rates.audio_input, audio))
    completion, rest = parts[4]
    for price, quantity in (
        (rates.reasoning, quantities.reasoning),
        (rates.audio_output, quantities.audio_output),
        (rates.image_output, quantities.image_output),
    ):
        if price is not None:
            part = min(quantity, rest)
            rest -= part
            parts.append((price, part))
    parts[4] = (completion, rest)
    for price, quantity in (
        (rates.request, quantities.requests),
        (rates.image, quantities.images),
        (rates.web_search, quantities.web_searches),
    ):
        if price is not None:
            parts.append((price, quantity))


def _unpriced(quantities: Quantities, rates: _Rates) -> tuple[str, ...]:
    missing = []
    if quantities.images > 0 and rates.image is None:
        missing.append("image")
    if quantities.web_searches > 0 and rates.web_search is None:
        missing.append("web_search")
    return tuple(missing)


def _units(price: _Price) -> int:
    return int(_scale(price.usd, MAX_PRICE_DECIMALS))


def _listed(prices: Mapping[str, Decimal], key: str) -> _Price | None:
    price = prices.get(key)
    return None if price is None else _Price(key, price)


def _above_zero(prices: Mapping[str, Decimal], key: str) -> _Price | None:
    price = prices.get(key)
    return _Price(key, price) if price else None


def _parse_prices(components: Mapping[str, Any], *, where: str) -> dict[str, Decimal]:
    prices: dict[str, Decimal] = {}
    for key, text in components.items():
        if key not in PRICE_KEYS:
            raise PriceError("unknown_price_key", key, f"{where}{key}: not a price key that is known here")
        try:
            prices[key] = parse_decimal(text, field=f"{where}{key}")
        except ValueError as error:
            raise PriceError("invalid_price", key, str(error)) from None
    # The listing's own documents do not settle whether listed prices already hold the discount: never guess.
    if prices.pop("discount", ZERO) != 0:
        raise PriceError(
            "unknown_price_key", "discount", f"{where}discount: a discount that is not 0 has no known meaning"
        )
    return prices


def _parse_override(override: Mapping[str, Any], where: str) -> Override:
    conditions = {key: value for key, value in override.items() if key in CONDITION_KEYS}
    rest = {key: value for key, value in override.items() if key not in CONDITION_KEYS}
    for key in rest:
        if key not in PRICE_KEYS:
            raise PriceError("unknown_condition", key, f"{where}{key}: neither a known condition nor a known price key")
    if not conditions:
        raise PriceError("unknown_condition", "overrides", f"{where[:-1]}: carries no condition")
    window = None
    if "utc_start" in conditions or "utc_end" in conditions:
        window = _parse_window(conditions.get("utc_start"), conditions.get("utc_end"), where)
    threshold = conditions.get("min_prompt_tokens")
    if "min_prompt_tokens" in conditions:
        threshold = _whole(threshold)
        if threshold is None or threshold > _MAX_THRESHOLD_TOKENS:
            raise PriceError(
                "unknown_condition",
                "min_prompt_tokens",
                f"{where}min_prompt_tokens: not a whole number of tokens",
            )
    return Override(_parse_prices(rest, where=where), threshold, window)


def _parse_window(start: Any, end: Any, where: str) -> tuple[int, int]:
    first, last = _minute(start), _minute(end, midnight=2400)
    if first is None:
        raise PriceError("unknown_condition", "utc_start", f"{where}utc_start: not a UTC clock time HHMM")
    if last is None:
        raise PriceError("unknown_condition", "utc_end", f"{where}utc_end: not a UTC clock time HHMM")
    if first == last:  # an empty window or a whole day: both readings are possible
        raise PriceError("unknown_condition", "utc_end", f"{where}utc_end: equals utc_start")
    return first, last


def _minute(value: Any, *, midnight: int | None = None) -> int | None:
    """Minute of the day of an HHMM clock number or text (100 and "0100" are 01:00); None when it is neither."""
    clock = _whole(value)
    if clock is None:
        return None
    hours, minutes = divmod(clock, 100)
    if clock != midnight and (hours > 23 or minutes > 59):
        return None
    return hours * 60 + minutes


def _whole(value: Any) -> int | None:
    """A whole number that is not negative, from an int, a whole Decimal or 1 to 13 ASCII digits; else None."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 13:
        return int(value)
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) <= 13 and value == int(value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return None


def _utc_minute(at: datetime) -> int:
    if at.utcoffset() is None:
        raise ValueError("at: has no time zone")
    utc = at if at.tzinfo is UTC else at.astimezone(UTC)
    return utc.hour * 60 + utc.minute


def _in_window(window: tuple[int, int], minute: int) -> bool:
    start, end = window
    return start <= minute < end if start < end else minute >= start or minute < end


def _covers_day(windows: Sequence[Override], key: str) -> bool:
    """Whether time windows alone give `key` a price at every minute of the day."""
    carrying = [override.window for override in windows if key in override.prices and override.window]
    return all(any(_in_window(window, minute) for window in carrying) for minute in range(MINUTES_PER_DAY))
