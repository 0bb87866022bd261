"""`make run`: the site with everything it needs, in the foreground, until Ctrl-C.

`ground` and `serve` are also what `make demo` stands on.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from config import embedded, env
from config.processes import ProcessError, Supervisor, check_port, python

WORKER = python(
    "celery", "--app", "config.celery", "worker", "--pool", "threads", "--concurrency", "4",
    "--queues", "money,documents,ingest,low", "--without-gossip", "--without-mingle", "--without-heartbeat",
    "--loglevel", "info",
)  # fmt: skip
BEAT = python("celery", "--app", "config.celery", "beat", "--pidfile", "", "--loglevel", "info")


def web(port: int) -> list[str]:
    """Command of the web process on this machine's loopback."""
    return python(
        "uvicorn", "config.asgi:application", "--host", "127.0.0.1", "--port", str(port),
        "--lifespan", "on", "--timeout-graceful-shutdown", "5",
    )  # fmt: skip


@contextlib.contextmanager
def ground(var: Path) -> Iterator[Supervisor]:
    """A migrated database, a broker, and a supervisor for what is started on them; ends all of it again.

    PostgreSQL is ended too if it was started here. One at a time for a var directory: ProcessError otherwise.
    """
    with Supervisor(var / "log") as processes, _alone(var):
        is_embedded = env.database_url() is None
        was_down = is_embedded and embedded.status(var) is embedded.Health.DOWN
        try:
            if is_embedded:
                was_down = embedded.ensure_started(var).started_here
            _migrate()
            _connect_broker(release=is_embedded)
            yield processes
        finally:
            processes.stop()
            if was_down:
                embedded.stop(var)


def start_worker(processes: Supervisor) -> None:
    """Start the Celery worker unless it runs; it needs no waiting for: tasks wait in their queues."""
    processes.start("worker", WORKER)


def serve(processes: Supervisor, port: int, *, lines: Sequence[str] = ()) -> None:
    """Start what is not running yet, wait until the site answers, print its addresses and `lines`, and keep going.

    Ends by KeyboardInterrupt (Ctrl-C, SIGTERM) or ProcessError.
    """
    start_worker(processes)
    processes.start("beat", BEAT)
    processes.start("web", web(port))
    processes.wait_until(lambda: is_alive(port), "The first answer of the site", seconds=60)
    address = f"http://127.0.0.1:{port}"
    print(f"\nThe site answers on {address}/ (admin: {address}/admin/, API: {address}/billing/v1/schema)")
    for line in lines:
        print(line)
    print("Ctrl-C ends it.", flush=True)
    processes.wait()


def run(work: Callable[[], None]) -> int:
    """Run a whole foreground command: exit code 0, also after Ctrl-C; 1 with one sentence on stderr."""
    try:
        work()
    except KeyboardInterrupt:
        print("\nEnded.")
    except (ProcessError, embedded.EmbeddedError, env.SettingError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _migrate() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", interactive=False, verbosity=0)


def _connect_broker(*, release: bool) -> None:
    """Make the broker usable. `release`: no worker lives anywhere, so what dead ones had taken is free again at once.

    Otherwise it would be free when their time is over, which is long to wait for when one starts the site anew.
    """
    from billing.models import Delivery
    from config.celery import ensure_broker, release_unacknowledged

    ensure_broker()
    if release:
        release_unacknowledged()
        Delivery.objects.filter(status=Delivery.Status.PENDING).update(claimed_until=None)


def is_alive(port: int, path: str = "/livez") -> bool:
    """Whether something on this machine answers there with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@contextlib.contextmanager
def _alone(var: Path) -> Iterator[None]:
    try:
        var.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(var / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ProcessError(
            f"{var} cannot be written ({error.strerror}): set JEONGSAN_VAR to a directory that can."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ProcessError(
            f"The data in {var} is being served already: end that `make run` or `make demo` first."
        ) from None
    else:
        yield
    finally:
        os.close(descriptor)


def port_number() -> int:
    """PORT, 8000 without it."""
    port = env.env_int("PORT", 8000, minimum=1)
    if port > 65535:
        raise env.SettingError(f"PORT must be at most 65535, not {port}.")
    return port


def main() -> int:
    """Serve the data that is there."""

    def work() -> None:
        port = port_number()
        check_port(port, "make run")
        with ground(env.var_dir()) as processes:
            serve(processes, port)

    return run(work)


if __name__ == "__main__":
    sys.exit(main())
