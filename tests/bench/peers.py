"""What other pricing libraries make of the same response, each in a virtual environment of its own under var/bench-peers."""

from __future__ import annotations

import subprocess
import venv

from config import env

_FOLDER = env.REPOSITORY / "var" / "bench-peers"
_TIMED = """
import time
{prepare}
for _ in range(200): {price}
best = 0.0
for _ in range(3):
    begin = time.perf_counter()
    for _ in range(2000): {price}
    best = max(best, 2000 / (time.perf_counter() - begin))
print(best)
"""
_PEERS = {
    "genai_prices": (
        "genai-prices",
        "from genai_prices import Usage, calc_price\n"
        "usage = Usage(input_tokens=3049, cache_read_tokens=1016, output_tokens=848)",
        "calc_price(usage, model_ref='gpt-5-mini', provider_id='openai')",
    ),
    "litellm": (
        "litellm==1.106.2",
        "import os; os.environ['LITELLM_LOCAL_MODEL_COST_MAP'] = 'True'\nfrom litellm import cost_per_token",
        "cost_per_token(model='gpt-4o-mini', prompt_tokens=3049, completion_tokens=848)",
    ),
}
_INSTALL_SECONDS, _RUN_SECONDS = 300, 120


def peer_prices(ours: float) -> tuple[dict[str, float], dict[str, str]]:
    """How many times as many events we price as each peer, and of a peer that cannot be measured here the reason."""
    times: dict[str, float] = {}
    remarks: dict[str, str] = {}
    for name, (package, prepare, price) in _PEERS.items():
        try:
            python = _installed(name, package)
            program = _TIMED.format(prepare=prepare, price=price)
            found = subprocess.run(
                [python, "-c", program], capture_output=True, text=True, timeout=_RUN_SECONDS, check=True
            )
            times[f"pricing_vs_{name}"] = ours / float(found.stdout.split()[-1])
        except (subprocess.SubprocessError, OSError) as error:
            remarks[f"pricing_vs_{name}"] = f"left out: {package} cannot be installed or run here ({error})"[:200]
    return times, remarks


def _installed(name: str, package: str) -> str:
    """The Python of the peer's environment."""
    folder = _FOLDER / name
    python = folder / "bin" / "python"
    has = [str(python), "-c", f"import {name}"]
    if not python.exists() or subprocess.run(has, capture_output=True, check=False).returncode:
        venv.create(folder, with_pip=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", package],
            check=True,
            capture_output=True,
            timeout=_INSTALL_SECONDS,
        )
    return str(python)
