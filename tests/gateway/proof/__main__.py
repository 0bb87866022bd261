"""`python -m tests.gateway.proof --rounds 200`: kill -9 under load, again and again, and add up what is left.

Each round lets clients call through the gateway for a moment, kills the gateway, PostgreSQL or a client at a random point,
starts it again, lets the load come to its end, sweeps, and holds every event against the upstream's own log. The same
--seed kills the same things after the same times.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path


def main() -> int:
    """Exit code 0 when nothing was wrong, 1 when something was, 2 when somebody else ended what has to live."""
    parser = argparse.ArgumentParser(prog="python -m tests.gateway.proof", description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--load-seconds", type=float, default=1.5, help="at most so long until the kill")
    parser.add_argument("--keep", action="store_true", help="leave the data directory behind")
    arguments = parser.parse_args()
    var = Path(tempfile.mkdtemp(prefix="jsproof-"))
    var.chmod(0o711)
    os.environ["JEONGSAN_VAR"] = str(var)
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    for name in ("DATABASE_URL", "CELERY_BROKER_URL"):
        os.environ.pop(name, None)
    try:
        return prove(var, arguments.rounds, arguments.seed, arguments.load_seconds)
    finally:
        if arguments.keep:
            print(f"kept: {var}")
        else:
            shutil.rmtree(var, ignore_errors=True)


def prove(var: Path, rounds: int, seed: int, load_seconds: float) -> int:
    """Run the rounds; stops at the first in which something is wrong."""
    from tests.gateway.proof.world import VICTIMS, world

    dice = random.Random(seed)
    with world(var, seed=seed) as lived:
        from tests.gateway.proof.checks import examine
        from tests.gateway.proof.sweeping import calm_down, sweep

        once = dice.sample(VICTIMS, len(VICTIMS))  # few rounds kill everything as well
        for number in range(1, rounds + 1):
            started = time.monotonic()
            victim = once.pop() if once else dice.choice(VICTIMS)
            lived.start_client()
            time.sleep(dice.uniform(0.2, load_seconds))
            lived.kill(victim, dice)
            time.sleep(dice.uniform(0.1, load_seconds / 2))
            lived.end_load()
            wrong = calm_down()
            if others := lived.ended_by_others():
                print(f"round {number}: somebody else ended {' and '.join(others)}")
                return 2
            sweep()
            findings = examine(lived)
            wrong += findings.wrong
            print(
                f"round {number}: {victim} killed; {findings.answered} answered, {findings.events} events,"
                f" {findings.tokens} tokens, {findings.whole} read whole, {findings.statuses},"
                f" {time.monotonic() - started:.1f} s",
                flush=True,
            )
            if wrong:
                print(f"{len(wrong)} WRONG:", *wrong[:20], sep="\n  ")
                return 1
        print(f"{rounds} rounds, killed {lived.killed}: every token of the upstream is billed once")
    return 0


if __name__ == "__main__":
    sys.exit(main())
