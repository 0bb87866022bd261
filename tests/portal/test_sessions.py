"""Logging in and out, and how often one may try."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from portal.models import LoginAttempt
from portal.services import forget_login_attempts, register_login_attempt
from tests.portal.factories import PASSWORD, Cast, make_customer, make_user

pytestmark = pytest.mark.django_db


def log_in(client: Client, email: str, password: str = PASSWORD, **extra: str) -> int:
    return client.post("/login/", {"username": email, "password": password}, **extra).status_code


def test_the_front_door_leads_to_the_login_and_then_home(cast: Cast) -> None:
    client = Client()
    assert "/login/" in client.get("/").content.decode()
    answer = client.post("/login/?next=/", {"username": "owner@acme.example", "password": PASSWORD}, follow=True)
    assert [path for path, _ in answer.redirect_chain] == ["/", "/c/acme/"]
    assert client.get("/login/")["Location"] == "/"


def test_the_login_leads_back_to_where_one_wanted_to_go(cast: Cast) -> None:
    path = f"/c/acme/invoices/{cast.acme.invoice.number}/"
    client = Client()
    login = client.get(path)["Location"]
    assert f'name="next" value="{path}"' in client.get(login).content.decode()
    answer = client.post("/login/", {"username": "owner@acme.example", "password": PASSWORD, "next": path})
    assert answer["Location"] == path


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "/\\evil.example"]
)
def test_the_login_leads_to_no_other_site(target: str, cast: Cast) -> None:
    answer = Client().post("/login/", {"username": "owner@acme.example", "password": PASSWORD, "next": target})
    assert (answer.status_code, answer["Location"]) == (302, "/")


def test_the_address_is_compared_without_case(cast: Cast) -> None:
    assert log_in(Client(), "Owner@ACME.example") == 302


def test_every_wrong_login_gets_the_same_words(cast: Cast) -> None:
    cast.globex.owner.is_active = False
    cast.globex.owner.save(update_fields=["is_active"])
    for email, password in (
        ("owner@acme.example", "wrong"),
        ("nobody@acme.example", PASSWORD),
        ("owner@globex.example", PASSWORD),
    ):
        answer = Client().post("/login/", {"username": email, "password": password})
        assert answer.status_code == 200
        assert "이메일 또는 비밀번호가 올바르지 않습니다." in answer.content.decode()


def test_logging_out_needs_a_post_and_closes_the_pages(cast: Cast, acme: Client) -> None:
    assert acme.get("/logout/").status_code == 405
    assert acme.get("/c/acme/").status_code == 200
    assert acme.post("/logout/")["Location"] == "/login/"
    assert acme.get("/c/acme/").status_code == 302


def test_somebody_without_a_company_is_told_so(db: None) -> None:
    client = Client()
    client.force_login(make_user(email="alone@example.com"))
    text = client.get("/").content.decode()
    assert "이 계정에 연결된 회사가 아직 없습니다." in text
    assert "운영자 화면으로" not in text
    operator = Client()
    operator.force_login(make_user(email="op@example.com", is_staff=True))
    assert "운영자 화면으로" in operator.get("/").content.decode()


def test_the_first_of_several_companies_is_home(cast: Cast, acme: Client) -> None:
    cast.acme.owner.memberships.create(customer=make_customer(slug="aaa", name="먼저"))
    assert acme.get("/")["Location"] == "/c/aaa/"


def test_the_eleventh_wrong_try_is_stopped_before_the_password(cast: Cast) -> None:
    client = Client()
    assert [log_in(client, "owner@acme.example", "wrong") for _ in range(10)] == [200] * 10
    answer = client.post("/login/", {"username": "OWNER@acme.example ", "password": PASSWORD})
    assert answer.status_code == 429
    assert answer["Retry-After"] == "900"
    assert "15분 뒤에 다시 시도해 주세요." in answer.content.decode()
    assert log_in(client, "owner@globex.example") == 302
    assert log_in(Client(), "owner@acme.example", REMOTE_ADDR="192.0.2.7") == 302


def test_the_right_password_wipes_the_slate(cast: Cast) -> None:
    for _ in range(3):
        assert [log_in(Client(), "owner@acme.example", "wrong") for _ in range(9)] == [200] * 9
        assert log_in(Client(), "owner@acme.example") == 302
    assert not LoginAttempt.objects.exists()


def test_unreadable_logins_are_refused_and_never_break(db: None) -> None:
    client = Client()
    assert log_in(client, "a\x00b@example.com", "x") == 200
    assert log_in(client, "x" * 5000, "y" * 5000) == 200
    assert client.post("/login/").status_code == 200


class TestCounting:
    """The rule itself, with a clock of its own."""

    AT = datetime.fromisoformat("2026-11-21T12:00:00+09:00")

    def attempt(self, at: datetime, **who: str) -> bool:
        return register_login_attempt(**{"email": "a@b.example", "address": "192.0.2.1", **who}, now=at)

    def test_ten_in_fifteen_minutes(self) -> None:
        assert [self.attempt(self.AT + timedelta(seconds=n)) for n in range(12)] == [True] * 10 + [False] * 2

    def test_knocking_on_a_locked_door_does_not_keep_it_locked(self) -> None:
        for _ in range(10):
            self.attempt(self.AT)
        assert not self.attempt(self.AT + timedelta(minutes=14, seconds=59))
        assert self.attempt(self.AT + timedelta(minutes=15))

    def test_each_address_and_each_email_counts_alone(self) -> None:
        for _ in range(10):
            self.attempt(self.AT)
        assert not self.attempt(self.AT, email="A@B.example")
        assert self.attempt(self.AT, email="c@b.example")
        assert self.attempt(self.AT, address="192.0.2.2")

    def test_old_rows_go_away(self) -> None:
        self.attempt(self.AT, email="old@b.example")
        self.attempt(self.AT + timedelta(minutes=15))
        assert list(LoginAttempt.objects.values_list("email", flat=True)) == ["a@b.example"]

    def test_forgetting(self) -> None:
        for _ in range(10):
            self.attempt(self.AT)
        forget_login_attempts(email="A@b.example", address="192.0.2.1")
        assert self.attempt(timezone.now())
