"""A real Chromium on a real server that shares the test's own database connection, so that it sees uncommitted rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.servers.basehttp import ThreadedWSGIServer
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connections
from django.test import Client
from django.test.testcases import QuietWSGIRequestHandler
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-sync"),
)


class _Server(ThreadedWSGIServer):
    def _close_connections(self) -> None:
        """The connection is the test's and stays open."""


@contextmanager
def serving() -> Iterator[str]:
    """The site's address on this machine for as long as the block runs."""
    connection = connections["default"]
    connection.inc_thread_sharing()
    server = _Server(("127.0.0.1", 0), QuietWSGIRequestHandler, connections_override={"default": connection})
    application, turn = StaticFilesHandler(WSGIHandler()), Lock()

    def one_by_one(*arguments: Any) -> Any:
        with turn:  # one connection serves one request at a time
            return application(*arguments)

    server.set_app(one_by_one)
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        request_started.connect(close_old_connections)
        request_finished.connect(close_old_connections)
        connection.dec_thread_sharing()


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser. Start it after `serving`, and leave the database alone meanwhile: with Playwright's event loop in this
    thread Django would open another connection, which doesn't see the test's rows.
    """
    path = next((path for path in CHROMIUM if Path(path).exists()), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@dataclass
class Visit:
    """A tab and what it complained about: console errors and warnings (CSP ones among them), failed scripts and loads."""

    page: Page
    complaints: list[str] = field(default_factory=list)


def visit(browser: Browser, origin: str, client: Client | None = None, *, language: str = "ko") -> Visit:
    """A tab with the session of that client, or nobody's."""
    context = browser.new_context(viewport={"width": 1400, "height": 900}, locale=language, base_url=origin)
    if client is not None:
        context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": origin}])
    tab = Visit(context.new_page())
    tab.page.on(
        "console",
        lambda message: tab.complaints.append(message.text) if message.type in {"error", "warning"} else None,
    )
    tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
    tab.page.on("requestfailed", lambda request: tab.complaints.append(f"failed: {request.url}"))
    return tab
