"""Runs the site's processes together: start, watch, and end all of them whatever happens to us.

Every child has its own process group and a log file; when this process is killed with -9 the kernel kills the children
too. Nothing is restarted: a child that dies ends the whole, with its last lines on the screen.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import BinaryIO

_LOG_BYTES = 20_000_000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class ProcessError(Exception):
    """A process could not start or died; the message is for the operator."""


@dataclass
class _Child:
    name: str
    log: Path
    process: subprocess.Popen[bytes]


def open_log(path: Path) -> BinaryIO:
    """Open a log to append to; one that has become long is put aside first (one older file is kept)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_name(path.name + ".old"))
    return path.open("ab")


def check_port(port: int, command: str) -> None:
    """Raise ProcessError when 127.0.0.1:port cannot be listened on; `command` is what the user would type again."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            other = port + 1 if port < 65535 else 8000
            if error.errno == errno.EADDRINUSE:
                raise ProcessError(
                    f"Port {port} is in use: end the program that listens there, or choose another port: "
                    f"PORT={other} {command}"
                ) from None
            raise ProcessError(f"Port {port} cannot be used ({error.strerror}): PORT={other} {command}") from None


class Supervisor:
    """Context manager around the processes of one site.

    Inside, SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt; on leaving, children end in the reverse order of their
    start: SIGTERM, then SIGKILL after `grace_seconds`. A second signal during that ends the waiting.
    """

    def __init__(self, log_dir: Path, *, grace_seconds: float = 15) -> None:
        self._log_dir = log_dir
        self._grace_seconds = grace_seconds
        self._children: list[_Child] = []
        self._handlers: dict[signal.Signals, object] = {}

    def __enter__(self) -> Supervisor:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._handlers[number] = signal.signal(number, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)  # type: ignore[arg-type] # what signal() itself returned

    def start(self, name: str, command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
        """Start a child under this name; its output goes to <log_dir>/<name>.log. Once per name."""
        if any(child.name == name for child in self._children):
            return
        log = self._log_dir / f"{name}.log"
        supervisor_pid = os.getpid()

        def die_with_us() -> None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != supervisor_pid:
                os._exit(1)

        with open_log(log) as output:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environment or {})},
                process_group=0,
                preexec_fn=die_with_us,  # one thread here, and nothing but a system call there
            )
        self._children.append(_Child(name, log, process))

    def check(self) -> None:
        """Raise ProcessError when a child has ended, with the end of its log."""
        for child in self._children:
            code = child.process.poll()
            if code is not None:
                how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
                tail = "".join(f"  {line}\n" for line in _last_lines(child.log))
                raise ProcessError(f"The {child.name} process ended ({how}). The end of {child.log}:\n{tail}".rstrip())

    def wait_until(self, ready: Callable[[], bool], what: str, *, seconds: float) -> None:
        """Wait for a condition while all children live; ProcessError when it does not come."""
        deadline = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise ProcessError(
                    f"{what} did not happen within {seconds:g} seconds; see the files in {self._log_dir}."
                )
            time.sleep(0.05)

    def wait(self) -> None:
        """Return never: ends by a signal (KeyboardInterrupt) or by the death of a child (ProcessError)."""
        while True:
            self.check()
            time.sleep(0.3)

    def stop(self) -> None:
        """End all children, the youngest first."""
        impatient: list[int] = []
        for number in self._handlers:
            signal.signal(number, lambda received, _: impatient.append(received))
        while self._children:
            child = self._children.pop()
            deadline = time.monotonic() + self._grace_seconds
            _send(child, signal.SIGTERM)
            while child.process.poll() is None:
                if impatient or time.monotonic() > deadline:
                    _send(child, signal.SIGKILL)
                time.sleep(0.02)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt


def _send(child: _Child, number: signal.Signals) -> None:
    if child.process.poll() is None:
        os.killpg(child.process.pid, number)


def _last_lines(path: Path) -> list[str]:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4000))
        return file.read().decode(errors="replace").splitlines()[-15:]


def python(module: str, *arguments: str) -> list[str]:
    """Command that runs a module with this very interpreter."""
    return [sys.executable, "-m", module, *arguments]
