"""What every answer carries, and that no page needs the policy to be any weaker."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from tests.portal.factories import Cast
from tests.portal.test_isolation import FILES, PAGES, address

pytestmark = pytest.mark.django_db

POLICY = (
    "base-uri 'none'; connect-src 'self'; default-src 'none'; font-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; img-src 'self' data:; script-src 'self'; style-src 'self'"
)
#: Inline script or style in any of its forms.
INLINE = re.compile(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son[a-z]+\s*=|javascript:|<base", re.IGNORECASE)


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("page", ["login", *PAGES])
def test_headers_and_no_inline_code(page: str, language: str, cast: Cast, acme: Client) -> None:
    client = Client() if page == "login" else acme
    client.cookies["django_language"] = language
    answer = client.get("/login/" if page == "login" else address(page, cast.acme))
    assert answer.status_code == 200
    assert "; ".join(sorted(answer["Content-Security-Policy"].split("; "))) == POLICY
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    if page not in FILES:
        assert INLINE.findall(answer.content.decode()) == []


def test_the_page_with_the_secret_is_as_strict(cast: Cast, acme: Client) -> None:
    answer = acme.post("/c/acme/keys/", {"name": "ci"})
    assert "; ".join(sorted(answer["Content-Security-Policy"].split("; "))) == POLICY
    assert INLINE.findall(answer.content.decode()) == []


def test_cookies_are_out_of_reach_of_scripts(cast: Cast) -> None:
    client = Client()
    client.post("/login/", {"username": "owner@acme.example", "password": "correct horse battery"})
    session = client.cookies["sessionid"]
    assert session["httponly"]
    assert session["samesite"] == "Lax"
