"""Reading a raw `usage` object: five dialects in, one kind of `Quantities` out.

The same word means different counts: OpenAI, OpenRouter and Gemini count cached tokens inside the prompt,
Anthropic outside; Gemini counts thinking outside the candidates. So the dialect is declared by whoever knows
the route, never guessed from the body. What is missing is not zero, what contradicts itself is cut to fit
**and flagged**, and what cannot be read is refused with the path of the field. A stream repeats its usage:
pass the last object, never a sum.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from catalog.pricing import Quantities

from .anthropic import read_messages
from .body import Body, UsageRefused
from .draft import Draft, Flag
from .extras import note_price_list, note_unread_counts, web_searches
from .gemini import read_gemini
from .openai import read_chat, read_responses
from .openrouter import read_openrouter, upstream_cost

__all__ = ["DIALECTS", "Flag", "Reading", "UsageRefused", "read_usage"]

_READERS: Mapping[str, Callable[[Body], Draft]] = {
    "openai_chat": read_chat,
    "openai_responses": read_responses,
    "openrouter": read_openrouter,
    "anthropic_messages": read_messages,
    "gemini": read_gemini,
}
DIALECTS = tuple(_READERS)


@dataclass(frozen=True)
class Reading:
    """What a usage object says: quantities, what the upstream says it charged (USD, or None), and flags.

    `flags` holds values of `Flag` in the order in which they were noticed, each once.
    """

    quantities: Quantities
    upstream_cost_usd: Decimal | None
    flags: tuple[str, ...]


def read_usage(dialect: str, usage: Mapping[str, Any]) -> Reading:
    """Read one raw usage object, as parsed from JSON, in the declared dialect.

    Raises UsageRefused, and nothing else, with the path of the field: counts that are missing, negative,
    larger than 10^12 or no integers; parts that are no objects; cache counts in the spelling of another
    dialect.
    """
    reader = _READERS.get(dialect)
    if reader is None:
        raise UsageRefused("dialect", f"must be one of {', '.join(DIALECTS)}")
    if not isinstance(usage, Mapping):
        raise UsageRefused("usage", "is missing" if usage is None else "must be an object")
    body = Body(usage, "usage")
    draft = reader(body)
    draft.web_searches = web_searches(body, draft)
    note_price_list(body, draft)
    note_unread_counts(body, draft)
    cost = upstream_cost(body, draft) if dialect == "openrouter" else None
    quantities = draft.settle()
    return Reading(quantities, cost, tuple(draft.flags))
