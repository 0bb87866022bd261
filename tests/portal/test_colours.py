"""Contrast of the colour tokens, light and dark (WCAG 2.2: 4.5 for text, 3 for what only marks a place)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CSS = (Path(__file__).resolve().parents[2] / "static" / "portal" / "jeongsan.css").read_text("utf-8")

TEXT = [
    *((ink, ground) for ink in ("ink", "muted", "accent", "bad") for ground in ("page", "card", "hover")),
    *((tone, f"{tone}-ground") for tone in ("good", "warn", "bad", "neutral")),
    ("accent-ink", "accent"),
    ("accent-ink", "accent-hover"),
    ("card", "bad"),
    ("ink", "neutral-ground"),
]
MARKS = [("field", "card"), ("bar", "card"), ("accent", "card")]


def tokens(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6});", block))


LIGHT = tokens(CSS.partition("@media (prefers-color-scheme: dark)")[0])
DARK = {**LIGHT, **tokens(CSS.partition("@media (prefers-color-scheme: dark)")[2].partition("\n}\n")[0])}


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    channels = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "ground", "least"), [*((*pair, 4.5) for pair in TEXT), *((*pair, 3) for pair in MARKS)]
)
def test_contrast(scheme: dict[str, str], ink: str, ground: str, least: float) -> None:
    assert contrast(scheme[ink], scheme[ground]) >= least


def test_the_formula_itself() -> None:
    assert contrast("#000000", "#fff") == pytest.approx(21)
    assert contrast("#777", "#ffffff") == pytest.approx(4.48, abs=0.005)
