"""A form that is sent twice does what it asks for once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client

from accounts.models import SubmittedForm, User
from accounts.services import FORMS_KEPT, claim_form, release_form
from billing.models import CreditNote, Invoice, PromotionalCredit
from tests.billing.month import DOLLAR, close, open_house, tenant, use

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ONCE = "This form was sent before, so nothing was done again."


@pytest.fixture
def desk(db: None) -> Client:
    client = Client(headers={"accept-language": "en"})
    client.force_login(User.objects.create_superuser("kim@operator.example"))
    return client


def token_of(page: object) -> str:
    """What the page carries."""
    name, token = page.context["token"]  # type: ignore[attr-defined]
    assert f'name="{name}" value="{token}"' in page.content.decode()  # type: ignore[attr-defined]
    return str(token)


def grant(**changes: str) -> dict[str, str]:
    customer = tenant()
    return {
        "customer": str(customer.pk),
        "name": "첫 달 무료",
        "amount_krw": "10000",
        "valid_from": "2026-11-01",
        "expires_on": "2026-11-30",
        "priority": "0",
        "reason": "test",
        **changes,
    }


def test_a_grant_that_is_sent_twice_grants_once(desk: Client) -> None:
    path = "/admin/billing/promotionalcredit/add/"
    answers = grant(form_token=token_of(desk.get(path)))
    first = desk.post(path, answers)
    assert first.status_code == 302, first.context["form"].errors
    again = desk.post(path, answers)
    assert (again.status_code, again["Location"]) == (302, "/admin/billing/promotionalcredit/")
    assert ONCE in [str(message) for message in get_messages(again.wsgi_request)]
    assert PromotionalCredit.objects.count() == 1
    # A form of its own is a grant of its own.
    assert desk.post(path, answers | {"form_token": token_of(desk.get(path))}).status_code == 302
    assert PromotionalCredit.objects.count() == 2


def test_a_refused_form_is_corrected_and_sent_again(desk: Client) -> None:
    path = "/admin/billing/promotionalcredit/add/"
    answers = grant(form_token=token_of(desk.get(path)))
    refused = desk.post(path, answers | {"expires_on": "2026-10-01"})
    assert refused.status_code == 200
    assert token_of(refused) == answers["form_token"]
    assert desk.post(path, answers).status_code == 302
    assert PromotionalCredit.objects.count() == 1


def test_an_operation_that_is_sent_twice_runs_once(desk: Client) -> None:
    open_house()
    use(tenant(), 10 * DOLLAR)
    close()
    path = f"/admin/billing/invoice/{Invoice.objects.get().pk}/credit/"
    answers = {"lines": "1: 500", "amendment_code": "01", "reason": "x", "form_token": token_of(desk.get(path))}
    assert desk.post(path, answers | {"lines": "1: 999999999"}).status_code == 200
    assert [desk.post(path, answers).status_code for _ in range(2)] == [302, 302]
    assert CreditNote.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_clicks_at_once_claim_a_form_once() -> None:
    token = uuid4()

    def click(_number: int) -> bool:
        try:
            return claim_form(token=token, actor="kim", now=NOW)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(click, range(4))) == [False, False, False, True]


@pytest.mark.django_db
def test_forms_are_given_back_and_forgotten() -> None:
    token = uuid4()
    assert claim_form(token=token, actor="kim", now=NOW) is True
    assert claim_form(token=token, actor="kim", now=NOW) is False
    release_form(token=token)
    assert claim_form(token=token, actor="kim", now=NOW) is True
    assert claim_form(token=uuid4(), actor="kim", now=NOW + FORMS_KEPT + timedelta(seconds=1)) is True
    assert SubmittedForm.objects.filter(token=token).exists() is False
