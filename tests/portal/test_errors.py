"""Pages for when something is wrong: our own, in both languages, saying nothing about the inside."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.portal.test_security import POLICY

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.portal.broken_urls")]

CASES = [
    ("/nothing/here/", 404, "페이지를 찾을 수 없습니다", "This page does not exist"),
    ("/broken/", 500, "일시적인 오류가 발생했습니다", "Something went wrong on our side"),
    ("/forbidden/", 403, "이 페이지를 볼 권한이 없습니다", "This page is not open to you"),
    ("/unreadable/", 400, "요청을 처리할 수 없습니다", "This request can&#x27;t be read"),
]


@pytest.mark.parametrize(("path", "status", "korean", "english"), CASES)
def test_the_page_is_ours_in_both_languages(path: str, status: int, korean: str, english: str) -> None:
    client = Client(raise_request_exception=False)
    for language, words in (("ko", korean), ("en", english)):
        client.cookies["django_language"] = language
        answer = client.get(path)
        body = answer.content.decode()
        assert answer.status_code == status
        assert f'<html lang="{language}">' in body
        assert words in body.replace("can't", "can&#x27;t")
        assert "a secret detail" not in body
        assert "/static/portal/jeongsan.css" in body
        assert "; ".join(sorted(answer["Content-Security-Policy"].split("; "))) == POLICY
