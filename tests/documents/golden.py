"""Texts that are compared as a whole. After a wanted change: UPDATE_GOLDEN=1, run again, and read the diff."""

import os
from pathlib import Path

_DIRECTORY = Path(__file__).resolve().parents[1] / "golden"


def assert_golden(name: str, text: str) -> None:
    """`text` is what tests/golden/<name> says."""
    path = _DIRECTORY / name
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_text(text, "utf-8")
    assert path.read_text("utf-8") == text
