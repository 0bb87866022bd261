"""OpenRouter: three routes with three shapes, and what the request was charged."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from catalog.money import EXACT

from .anthropic import read_messages
from .body import Body
from .draft import Draft, Flag
from .openai import read_chat, read_responses

_MAX_COST_USD = 10**9
_MAX_COST_DECIMALS = 60  # a double in JSON has at most 17 digits; this only keeps absurd exponents out


def read_openrouter(body: Body) -> Draft:
    """Chat, responses and messages keep their own shapes; the keys that each of them requires are disjoint.

    In the chat shape reads and writes of the cache are inside the prompt for every model, Claude included.
    """
    if body.has("prompt_tokens", "completion_tokens"):
        return read_chat(body)
    says_messages = body.has("cache_read_input_tokens", "cache_creation_input_tokens")
    if says_messages and not body.has("input_tokens_details"):
        return read_messages(body)
    return read_responses(body)


def upstream_cost(body: Body, draft: Draft) -> Decimal | None:
    """What the request was charged, in USD: `cost`, plus the provider's own charge only when the key was ours.

    None when the body does not say it or, with a flag, when it cannot be known from what it says.
    """
    charged = _usd(body.raw("cost"), draft)
    if charged is None or body.raw("is_byok") is not True:
        return charged
    details = body.raw("cost_details")
    paid = _usd(details.get("upstream_inference_cost"), draft) if isinstance(details, Mapping) else None
    if paid is None:
        draft.flag(Flag.UPSTREAM_COST_INCOMPLETE)
        return None
    return EXACT.add(charged, paid)


def _usd(value: Any, draft: Draft) -> Decimal | None:
    """An amount as the JSON stated it, binary noise included; None, with a flag, when it cannot be an amount."""
    if value is None:
        return None
    if not isinstance(value, bool) and isinstance(value, int | float | Decimal):
        amount = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        exponent = amount.as_tuple().exponent
        if isinstance(exponent, int) and exponent >= -_MAX_COST_DECIMALS and 0 <= amount <= _MAX_COST_USD:
            return amount
    draft.flag(Flag.UPSTREAM_COST_UNREADABLE)
    return None
