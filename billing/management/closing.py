"""How far a close is, as commands print it."""

from __future__ import annotations

from typing import Any


def stage_text(status: dict[str, Any]) -> str:
    """The step that a run's status names; whoever is parked is not done."""
    parked = status["customers"]["parked"]
    return f"{status['stage']}, {parked} parked" if parked else str(status["stage"])
