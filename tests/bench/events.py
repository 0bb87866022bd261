"""The events that the benchmarks send. Apart from what measures them: a client needs no Django to send them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

BATCH_EVENTS = 1_000
CUSTOMERS = 50
NOW = datetime(2026, 11, 1, tzinfo=UTC)
START = datetime(2026, 9, 30, 15, 0, tzinfo=UTC)  # 1 October in Korea
MONTH_SECONDS = 31 * 86400
MODELS = ("openai/gpt-5-mini", "anthropic/claude-sonnet-4.5", "google/gemini-2.5-pro", "openai/gpt-5")

Batch = list[bytes]


def make_batches(label: str, count: int, *, first: int = 0) -> list[Batch]:
    """Batches of events that nobody sent before: in time order, a million of them a month, over all customers and models."""
    return [
        [_line(f"gen-{label}-{number:09}", number) for number in range(begin, begin + BATCH_EVENTS)]
        for begin in range(first * BATCH_EVENTS, (first + count) * BATCH_EVENTS, BATCH_EVENTS)
    ]


def make_single(label: str, number: int) -> bytes:
    """One such event."""
    return _line(f"gen-{label}-{number:09}", number)


def _line(event_id: str, number: int) -> bytes:
    prompt, completion = 200 + number * 37 % 20_000, 1 + number * 11 % 2_000
    event = {
        "id": event_id,
        "customer": f"bench-{number % CUSTOMERS}",
        "requested_model": "openrouter/auto",
        "model": MODELS[number // CUSTOMERS % len(MODELS)],
        "occurred_at": (START + timedelta(milliseconds=number * 2678 % (MONTH_SECONDS * 1000))).isoformat(),
        "dialect": "openrouter",
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "cost": prompt * 25 / 10**7,
            "is_byok": False,
            "prompt_tokens_details": {"cached_tokens": prompt // 3, "audio_tokens": 0},
            "cost_details": {"upstream_inference_cost": None},
            "completion_tokens_details": {"reasoning_tokens": completion // 2},
        },
        "app": {"title": "Help desk", "referer": "https://desk.example"},
    }
    return json.dumps(event).encode()
