"""Running our commands inside the test's process."""

from __future__ import annotations

import io
import json
from typing import Any

from django.core.management import call_command


def run(name: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and the one JSON object that `manage.py name ... --json` printed."""
    output = io.StringIO()
    try:
        call_command(name, *arguments, "--json", stdout=output)
    except SystemExit as ended:
        return int(ended.code or 0), json.loads(output.getvalue())
    return 0, json.loads(output.getvalue())
