"""The supervisor: no process outlives it, and a child that dies is named with its last words."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from config import env
from config.processes import ProcessError, Supervisor, check_port, open_log
from tests.ground.waiting import eventually

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)",
]
# A whole program around a supervisor, as `make run` is: two children, their process ids on standard output.
PROGRAM = """
import sys
from pathlib import Path
from config.processes import Supervisor
from config.serve import run

def work():
    with Supervisor(Path(sys.argv[1])) as processes:
        processes.start("first", [sys.executable, "-c", "import time; time.sleep(600)"])
        processes.start("second", [sys.executable, "-c", "import time; time.sleep(600)"])
        print(*(child.process.pid for child in processes._children), flush=True)
        processes.wait()

sys.exit(run(work))
"""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def start_program(tmp_path: Path) -> tuple[subprocess.Popen[str], list[int]]:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        cwd=env.REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    assert program.stdout is not None
    pids = [int(pid) for pid in program.stdout.readline().split()]
    assert [is_alive(pid) for pid in pids] == [True, True]
    return program, pids


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_whole_group_ends_everything_quietly(tmp_path: Path, number: signal.Signals) -> None:
    program, pids = start_program(tmp_path)
    os.killpg(program.pid, number)
    output, errors = program.communicate()
    assert (program.returncode, output, errors) == (0, "\nEnded.\n", "")
    assert [is_alive(pid) for pid in pids] == [False, False]


def test_children_die_with_a_killed_supervisor(tmp_path: Path) -> None:
    program, pids = start_program(tmp_path)
    program.kill()
    program.communicate()
    eventually(lambda: not any(is_alive(pid) for pid in pids))


def test_a_dead_child_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    talker = [sys.executable, "-c", "print('\\n'.join(f'line {n}' for n in range(40))); raise SystemExit(7)"]
    with Supervisor(tmp_path) as processes:
        processes.start("sleeper", SLEEPER)
        processes.start("talker", talker)
        with pytest.raises(ProcessError) as caught:
            processes.wait()
    last = "\n".join(f"  line {number}" for number in range(25, 40))
    assert str(caught.value) == f"The talker process ended (exit code 7). The end of {tmp_path}/talker.log:\n{last}"


def test_a_killed_child_is_named_with_its_signal(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as processes:
        processes.start("sleeper", SLEEPER)
        os.kill(processes._children[0].process.pid, signal.SIGKILL)
        with pytest.raises(ProcessError, match=r"^The sleeper process ended \(killed by SIGKILL\)\."):
            processes.wait()


def test_a_child_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    with Supervisor(tmp_path, grace_seconds=0.2) as processes:
        processes.start("stubborn", STUBBORN)
        eventually(lambda: (tmp_path / "stubborn.log").read_text() == "deaf\n")
        process = processes._children[0].process
    assert process.returncode == -signal.SIGKILL


def test_the_youngest_ends_first(tmp_path: Path) -> None:
    order = tmp_path / "order"
    teller = (
        "import signal, sys, time\n"
        "def tell(*_):\n open(sys.argv[1], 'a').write(sys.argv[2]); sys.exit()\n"
        "signal.signal(signal.SIGTERM, tell); print('ready', flush=True); time.sleep(600)"
    )
    with Supervisor(tmp_path) as processes:
        for name in "abc":
            processes.start(name, [sys.executable, "-c", teller, str(order), name])
            eventually(lambda name=name: (tmp_path / f"{name}.log").read_text() == "ready\n")
    assert order.read_text() == "cba"


def test_starting_a_name_twice_starts_it_once(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as processes:
        processes.start("sleeper", SLEEPER)
        processes.start("sleeper", SLEEPER)
        assert len(processes._children) == 1


def test_waiting_for_what_does_not_come(tmp_path: Path) -> None:
    with (
        Supervisor(tmp_path) as processes,
        pytest.raises(ProcessError, match=r"^Spring did not happen within 0\.1 sec"),
    ):
        processes.wait_until(lambda: False, "Spring", seconds=0.1)


def test_a_port_in_use_is_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ProcessError) as caught:
            check_port(port, "make run")
    assert str(caught.value) == (
        f"Port {port} is in use: end the program that listens there, or choose another port: PORT={port + 1} make run"
    )
    check_port(port, "make run")


def test_a_long_log_is_put_aside(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "web.log"
    open_log(log).close()
    with log.open("wb") as file:
        file.truncate(20_000_001)
    open_log(log).close()
    assert (log.stat().st_size, (tmp_path / "logs" / "web.log.old").stat().st_size) == (0, 20_000_001)
