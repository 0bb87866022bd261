"""A short run of the proof: everything is killed once under load, and every token of the upstream is billed once."""

from __future__ import annotations

import subprocess
import sys

from config import env


def test_kills_lose_and_double_nothing() -> None:
    command = [sys.executable, "-m", "tests.gateway.proof", "--rounds", "4", "--load-seconds", "0.6", "--seed", "2"]
    done = subprocess.run(command, cwd=env.REPOSITORY, capture_output=True, text=True, timeout=400, check=False)

    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "every token of the upstream is billed once" in done.stdout
