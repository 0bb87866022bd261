"""The recorded OpenRouter responses as events: `python -m tests.reconciliation.recorded CUSTOMER` prints NDJSON.

They happen on 13 May 2026, the day after the recorded listing, in the order of the file.
"""

from __future__ import annotations

import json
import sys

from tests.shared import shared_data

LISTING = "openrouter-models-2026-05-12.json"
USAGE = "openrouter_recorded_usage.json"


def recorded_lines(customer: str) -> list[bytes]:
    """One event for each recorded response, ids `recorded-00` and so on."""
    cases = json.loads(shared_data(USAGE).read_text(encoding="utf-8"))["cases"]
    lines = []
    for position, case in enumerate(cases):
        event = {
            "id": f"recorded-{position:02}",
            "customer": customer,
            "model": case["model"],
            "occurred_at": f"2026-05-13T12:{position:02}:00+09:00",
            "dialect": "openrouter",
            "usage": case["usage"],
        }
        lines.append(json.dumps(event).encode())
    return lines


if __name__ == "__main__":
    for line in recorded_lines(sys.argv[1]):
        sys.stdout.write(line.decode() + "\n")
