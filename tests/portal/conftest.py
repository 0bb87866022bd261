"""The cast, clients that are logged in, the Korean catalogue and a real browser."""

from __future__ import annotations

import gettext
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from django.test import Client, override_settings
from django.utils.translation import trans_real
from playwright.sync_api import Browser, sync_playwright

from tests.portal.factories import Cast, make_cast

LOCALE = Path(__file__).resolve().parents[2] / "locale" / "ko" / "LC_MESSAGES"
CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-sync"),
)


@pytest.fixture(scope="session", autouse=True)
def korean_catalogue() -> None:
    """The compiled catalogue is as new as its source, whoever started the tests."""
    source, compiled = LOCALE / "django.po", LOCALE / "django.mo"
    if compiled.exists() and compiled.stat().st_mtime >= source.stat().st_mtime:
        return
    partial = LOCALE / f".django.mo.{os.getpid()}"
    with source.open("rb") as po, partial.open("wb") as mo:
        write_mo(mo, read_po(po, locale="ko"))
    partial.replace(compiled)
    # What was read before, by Django and by the reader beneath it.
    trans_real._translations.clear()
    gettext._translations.clear()


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    """Passwords are hashed the quick way; the slow way is Django's business and would take most of the time here."""
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def acme(cast: Cast) -> Client:
    """A browser session of acme's owner."""
    client = Client()
    client.force_login(cast.acme.owner)
    return client


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A real Chromium, one for all browser tests of a module; no longer, because nobody else in this thread could run an
    event loop meanwhile.
    """
    path = next((path for path in CHROMIUM if os.path.exists(path)), None)
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright keeps an event loop in this thread; the database is used between its calls, never inside them.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()
