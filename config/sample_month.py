"""A month of made-up usage for the sample customers: the same events for the same month, on every machine.

Nothing here is anybody's data. Office hours, weekends and each workload's size vary by a generator that is seeded with
the month and the workload, so a second run meters the very same events and changes nothing.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any

from usage.periods import KST, BillingMonth

WEEKEND_PERCENT = 15
SATURDAY = 5


def sample_events(customer: dict[str, Any], month: BillingMonth, *, until: date) -> Iterator[bytes]:
    """The events of one sample customer on the month's days before `until` (KST), as NDJSON lines."""
    day = month.first_on
    while day <= month.last_on and day < until:
        for number, workload in enumerate(customer["workloads"]):
            # The day is part of the seed: tomorrow's run adds tomorrow's events and leaves today's as they are.
            dice = random.Random(f"{customer['slug']}/{number}/{day}")  # noqa: S311 - sample data, not a secret
            for ordinal in range(_count(workload["daily"], day, dice)):
                yield _event(customer["slug"], workload, day, dice, f"sample-{day}-{number}-{ordinal:04d}")
        day += timedelta(days=1)


def _count(daily: int, day: date, dice: random.Random) -> int:
    base = daily * WEEKEND_PERCENT // 100 if day.weekday() >= SATURDAY else daily
    return dice.randint(base * 7 // 10, base * 13 // 10 + 1)


def _event(slug: str, workload: dict[str, Any], day: date, dice: random.Random, event_id: str) -> bytes:
    second = dice.randint(8 * 3600, 20 * 3600)
    occurred_at = datetime.combine(day, time(), tzinfo=KST) + timedelta(seconds=second)
    event = {
        "id": event_id,
        "customer": slug,
        "requested_model": workload.get("requested", workload["model"]),
        "model": workload["model"],
        "occurred_at": occurred_at.isoformat(),
        "dialect": workload["dialect"],
        "usage": _usage(workload, dice),
        "app": {"title": workload["app"]},
    }
    return json.dumps(event, ensure_ascii=False).encode()


def _usage(workload: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    prompt = dice.randint(workload["prompt"] // 2, workload["prompt"] * 3 // 2)
    output = dice.randint(workload["completion"] // 2, workload["completion"] * 3 // 2)
    cached = prompt * workload["cached_percent"] // 100 if dice.randint(0, 9) < 7 else 0
    reasoning = output * workload.get("reasoning_percent", 0) // 100
    return USAGE_SHAPES[workload["dialect"]](prompt, cached, output, reasoning)


def _openai_chat(prompt: int, cached: int, output: int, reasoning: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def _openai_responses(prompt: int, cached: int, output: int, reasoning: int) -> dict[str, Any]:
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": prompt + output,
    }


def _anthropic(prompt: int, cached: int, output: int, reasoning: int) -> dict[str, Any]:
    # Anthropic counts what came from the cache outside of input_tokens.
    return {
        "input_tokens": prompt - cached,
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": 0,
        "output_tokens": output,
    }


def _gemini(prompt: int, cached: int, output: int, reasoning: int) -> dict[str, Any]:
    # Gemini counts thinking outside of the candidates.
    return {
        "promptTokenCount": prompt,
        "cachedContentTokenCount": cached,
        "candidatesTokenCount": output - reasoning,
        "thoughtsTokenCount": reasoning,
        "totalTokenCount": prompt + output,
    }


USAGE_SHAPES = {
    "openai_chat": _openai_chat,
    "openrouter": _openai_chat,
    "openai_responses": _openai_responses,
    "anthropic_messages": _anthropic,
    "gemini": _gemini,
}
