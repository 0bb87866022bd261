"""The front door for strangers."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import Settings

from tests.portal.factories import make_user
from tests.storefront.shop import text_of


def test_what_a_stranger_reads(shop: None) -> None:
    answer = Client().get("/")
    text = text_of(answer.content)
    assert answer.status_code == 200
    assert "AI 모델 API를 한 달에 한 번 원화로 청구합니다" in text
    assert "부가세 10%를 더한 원화 청구서" in text
    assert "제공사 2곳의 모델 9개 판매 중" in text
    assert "시험 환경입니다. 국세청으로 전송되지 않습니다." in text
    body = answer.content.decode()
    assert '<a class="button primary" href="/models">' in body
    assert '<a class="button" href="/login/">' in body
    english = text_of(Client(headers={"Accept-Language": "en"}).get("/").content)
    assert "AI model APIs, one won invoice a month" in english
    assert "one invoice in won with 10% VAT" in english
    assert "9 models of 2 providers on sale" in english


def test_an_empty_shop_counts_nothing(db: None) -> None:
    assert "판매 중" not in text_of(Client().get("/").content)


def test_test_words_are_gone_with_a_real_provider(db: None, settings: Settings) -> None:
    settings.TAX_PROVIDER = "real"
    assert "시험 환경" not in text_of(Client().get("/").content)


def test_somebody_who_is_logged_in_goes_on(db: None) -> None:
    client = Client()
    client.force_login(make_user(email="a@b.example"))
    assert "이 계정에 연결된 회사가 아직 없습니다." in text_of(client.get("/").content)
    assert '<a href="/">내 회사</a>' in client.get("/models").content.decode()


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_only_reading(method: str, db: None) -> None:
    assert getattr(Client(), method)("/").status_code == 405
