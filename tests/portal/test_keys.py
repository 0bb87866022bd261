"""API 키: the secret is in one answer and nowhere else."""

from __future__ import annotations

import re

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import ApiKey, AuditEntry
from accounts.selectors import authenticate_api_key
from tests.portal.factories import Cast
from tests.portal.test_dashboard import page

pytestmark = pytest.mark.django_db

SECRET = re.compile(r"sk-jeongsan-[0-9A-Za-z]{32}")


def create(client: Client, name: str = "ci", **fields: str) -> str:
    """Make a key and give back its secret."""
    answer = client.post("/c/acme/keys/", {"name": name, **fields})
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    [secret] = set(SECRET.findall(answer.content.decode()))
    return secret


def test_a_new_key_works_and_is_shown_once(cast: Cast, acme: Client) -> None:
    secret = create(acme)
    key = authenticate_api_key(secret, at=timezone.now())
    assert key is not None
    assert (key.customer, key.name, key.created_by) == (cast.acme.customer, "ci", "owner@acme.example")
    for path in ("/c/acme/keys/", f"/c/acme/keys/{key.pk}/revoke/", "/c/acme/"):
        assert secret not in page(acme, path)
    assert f"<code>{key.prefix}…{key.last4}</code>" in page(acme, "/c/acme/keys/")


def test_the_secret_is_stored_nowhere(cast: Cast, acme: Client) -> None:
    secret = create(acme, form_id="once")
    tail = secret[20:]  # the prefix is kept on purpose
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        tables = [name for (name,) in cursor.fetchall()]
        assert len(tables) > 20
        for name in tables:
            cursor.execute(f'SELECT count(*) FROM "{name}" AS t WHERE t::text LIKE %s', [f"%{tail}%"])
            assert cursor.fetchone() == (0,), name
    assert all(tail not in str(session.get_decoded()) for session in Session.objects.all())
    assert all(tail not in morsel.value for morsel in acme.cookies.values())


def test_sending_the_same_form_again_makes_no_second_key(cast: Cast, acme: Client) -> None:
    form_id = re.search(r'name="form_id" value="([0-9a-f]{16})"', page(acme, "/c/acme/keys/"))[1]
    secret = create(acme, form_id=form_id)
    again = acme.post("/c/acme/keys/", {"name": "ci", "form_id": form_id}, follow=True)
    assert again.redirect_chain == [("/c/acme/keys/", 302)]
    text = again.content.decode()
    assert "이미 만든 키입니다. 키는 한 번만 표시됩니다." in text
    assert secret not in text
    assert ApiKey.objects.filter(customer=cast.acme.customer, name="ci").count() == 1


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "nul\x00"])
def test_a_bad_name_is_refused_with_words(name: str, cast: Cast, acme: Client) -> None:
    before = ApiKey.objects.count()
    answer = acme.post("/c/acme/keys/", {"name": name})
    assert answer.status_code == 400
    assert 'id="id_name_error"' in answer.content.decode()
    assert not SECRET.search(answer.content.decode())
    assert ApiKey.objects.count() == before


def test_revoking_asks_first_and_then_stops_the_key(cast: Cast, acme: Client) -> None:
    secret, key = cast.acme.key.secret, cast.acme.key.key
    assert "이 키를 폐기할까요?" in page(acme, f"/c/acme/keys/{key.pk}/revoke/")
    assert authenticate_api_key(secret, at=timezone.now()) is not None
    answer = acme.post(f"/c/acme/keys/{key.pk}/revoke/", follow=True)
    assert "“acme production” 키를 폐기했습니다." in answer.content.decode()
    assert authenticate_api_key(secret, at=timezone.now()) is None
    key.refresh_from_db()
    assert key.revoked_by == "owner@acme.example"
    assert AuditEntry.objects.filter(action="revoke_api_key", object_id=str(key.pk)).count() == 1
    assert "이미 폐기된 키입니다." in page(acme, f"/c/acme/keys/{key.pk}/revoke/")
    acme.post(f"/c/acme/keys/{key.pk}/revoke/")
    assert AuditEntry.objects.filter(action="revoke_api_key", object_id=str(key.pk)).count() == 1


def test_forms_without_a_token_are_refused_in_our_own_words(cast: Cast) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(cast.acme.owner)
    before = ApiKey.objects.count()
    answer = strict.post("/c/acme/keys/", {"name": "ci"})
    assert answer.status_code == 403
    assert "입력 화면의 유효 시간이 지났습니다" in answer.content.decode()
    assert ApiKey.objects.count() == before


def test_a_key_name_is_text(cast: Cast, acme: Client) -> None:
    create(acme, name='"><img src=x onerror=alert(1)>')
    text = page(acme, "/c/acme/keys/")
    assert "&quot;&gt;&lt;img src=x onerror=alert(1)&gt;" in text
    assert "<img src=x" not in text


def test_times_are_korean_and_say_so(cast: Cast, acme: Client) -> None:
    ApiKey.objects.filter(pk=cast.acme.key.key.pk).update(last_used_at="2026-10-31T15:30:00Z")
    assert "2026-11-01 00:30 KST" in page(acme, "/c/acme/keys/")


def test_a_customer_without_keys_is_told_what_to_do(cast: Cast, acme: Client) -> None:
    ApiKey.objects.filter(customer=cast.acme.customer).delete()
    assert "아직 키가 없습니다." in page(acme, "/c/acme/keys/")
