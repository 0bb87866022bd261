"""What a benchmark found: a table for people, a JSON file for machines."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from config import env


@dataclass(frozen=True)
class Measured:
    """`ratios` compare two things measured in the same run; `figures` are absolute and belong to this machine alone."""

    name: str
    ratios: dict[str, float]
    figures: dict[str, float | str]


def write_report(measured: Measured, *, server_version: str) -> Path:
    """Write var/bench/<name>.json; returns its path."""
    machine: dict[str, Any] = {
        "cpus": os.cpu_count(),
        "load_average_1min": round(os.getloadavg()[0], 2),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "postgresql": server_version,
    }
    path = env.var_dir() / "bench" / f"{measured.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**asdict(measured), "machine": machine}, indent=2) + "\n", encoding="utf-8")
    return path


def table(measured: Measured) -> str:
    """The report as aligned lines."""
    rows = [("ratio", name, f"{value:.2f}") for name, value in measured.ratios.items()]
    for name, value in measured.figures.items():
        rows.append(("figure", name, value if isinstance(value, str) else f"{value:,.0f}"))
    width = max(len(name) for _, name, _ in rows)
    return "\n".join([measured.name, *(f"  {kind:7} {name:{width}}  {value}" for kind, name, value in rows)])
