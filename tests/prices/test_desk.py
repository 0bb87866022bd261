"""Operators decide about prices and alerts at their desk."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry
from billing.models import Alert
from billing.services.alerting import raise_alert
from catalog.models import Model, PriceChange
from tests.admin.house import make_root, make_staff
from tests.admin.test_operations import refusal, run, run_on
from tests.billing.month import DOLLAR, NOW, close, open_house, tenant, use
from tests.catalog.listings import history
from tests.prices.test_report import move

pytestmark = pytest.mark.django_db

REASON = "요청 번호 207"


@pytest.fixture
def desk() -> Client:
    client = Client(headers={"accept-language": "en"})
    client.force_login(make_root())
    return client


@pytest.fixture
def waiting() -> PriceChange:
    """acme/dollar three times as dear, for a customer that was invoiced 1,647,059 won for it."""
    open_house()
    use(tenant("gaon"), 1000 * DOLLAR)
    close()
    move(dollar="0.000003")
    return PriceChange.objects.get()


def test_who_decides_sees_what_changes_and_whom_it_meets(desk: Client, waiting: PriceChange) -> None:
    for page in ("change", "approve", "reject"):
        text = desk.get(reverse(f"admin:catalog_pricechange_{page}", args=[waiting.pk])).content.decode()
        assert "1 customers, 1,647,059 won in 2026-10: gaon 1,647,059" in text
    assert "0.000003" in text


def test_approving(desk: Client, waiting: PriceChange) -> None:
    assert run(desk, "catalog_pricechange_approve", waiting, reason=REASON) == [
        "The new price of acme/dollar holds from now on."
    ]
    waiting.refresh_from_db()
    assert (waiting.status, waiting.decided_by, waiting.reason) == ("applied", "root@jeongsan.example", REASON)
    assert [row[3]["prompt"] for row in history("acme/dollar")] == ["0.000001", "0.000003"]
    assert AuditEntry.objects.get(action="approve_price_change").actor == "root@jeongsan.example"
    page = desk.get(reverse("admin:catalog_pricechange_approve", args=[waiting.pk]))
    assert page.status_code == 302


def test_rejecting_several(desk: Client, waiting: PriceChange) -> None:
    assert refusal(desk, "catalog_pricechange_reject", waiting, reason="") == {"reason": ["This field is required."]}
    assert run_on(desk, "catalog_pricechange", "reject", [waiting], reason=REASON) == [
        "The old price of acme/dollar stays."
    ]
    assert PriceChange.objects.get().status == "rejected"


def announcement(**changes: str) -> dict[str, Any]:
    form = {"model": str(Model.objects.get(model_id="acme/dollar").pk), "effective_from": "2099-01-01 00:00"}
    return form | {"prompt": "0.000002", "completion": "0", "overrides": "[]", "reason": REASON} | changes


def test_announcing(desk: Client) -> None:
    open_house()
    answer = desk.post(reverse("admin:catalog_pricechange_add"), announcement())
    assert answer.status_code == 302, answer.context["form"].errors
    change = PriceChange.objects.get()
    assert (change.status, change.effective_at.isoformat()) == ("announced", "2098-12-31T15:00:00+00:00")
    assert [row[3]["prompt"] for row in history("acme/dollar")] == ["0.000001", "0.000002"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"prompt": "-1"}, "prompt"),
        ({"effective_from": "2026-01-01 00:00"}, "effective_from"),
        ({"reason": " "}, "reason"),
    ],
)
def test_what_cannot_be_announced_is_said_beside_its_box(desk: Client, changes: dict[str, str], field: str) -> None:
    open_house()
    answer = desk.post(reverse("admin:catalog_pricechange_add"), announcement(**changes))
    assert (answer.status_code, list(answer.context["form"].errors)) == (200, [field])
    assert PriceChange.objects.count() == 0


def test_alerts_are_acknowledged(desk: Client) -> None:
    alert = raise_alert(kind=Alert.Kind.NEGATIVE_MARGIN, subject="2026-10 a/x", detail={"model": "a/x"}, now=NOW)
    assert run(desk, "billing_alert_acknowledge", alert) == ["Acknowledged."]
    assert Alert.objects.get().acknowledged_by == "root@jeongsan.example"


def test_who_may_only_look_decides_nothing(waiting: PriceChange) -> None:
    client = Client()
    client.force_login(make_staff("looker@jeongsan.example", "catalog.view_pricechange", "billing.view_alert"))
    assert client.get(reverse("admin:catalog_pricechange_change", args=[waiting.pk])).status_code == 200
    for page in ("approve", "reject"):
        answer = client.post(reverse(f"admin:catalog_pricechange_{page}", args=[waiting.pk]), {"reason": REASON})
        assert answer.status_code == 403
    assert client.get(reverse("admin:catalog_pricechange_add")).status_code == 403
