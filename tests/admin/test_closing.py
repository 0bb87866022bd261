"""Closing a month from the operators' page: figures, the button, progress, and what is refused."""

from __future__ import annotations

from datetime import datetime

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from billing.models import BillingRun, BillingRunItem, Invoice
from config.celery import app
from tests.admin.house import make_root
from tests.billing.month import DOLLAR, open_house, tenant, use
from usage.models import BillingPeriod
from usage.periods import KST, BillingMonth

pytestmark = pytest.mark.django_db

CLOSE = "/admin/billing/billingrun/close/"


@pytest.fixture
def operator(db: None) -> User:
    """October 2026 is over and unbilled: gaon used USD 1,000, naru USD 1 and has no tax profile."""
    open_house()
    use(tenant("gaon"), 1000 * DOLLAR)
    use(tenant("naru", profile=False), DOLLAR)
    return make_root()


@pytest.fixture
def desk(operator: User) -> Client:
    client = Client(headers={"accept-language": "en"})
    client.force_login(operator)
    return client


def items() -> list[tuple[str, str, str]]:
    """(customer, status, reason code) of every item."""
    rows = BillingRunItem.objects.order_by("customer__slug")
    return list(rows.values_list("customer__slug", "status", "reason_code"))


def test_the_figures_come_first_and_write_nothing(desk: Client) -> None:
    assert reverse("admin:billing_billingrun_close") == CLOSE
    assert CLOSE in desk.get(reverse("admin:billing_billingrun_changelist")).content.decode()
    empty = desk.get(CLOSE)
    assert (empty.status_code, empty.context["month"]) == (200, None)
    assert empty.context["form"].initial == {"month": str(BillingMonth.of(timezone.now()).previous())}

    page = desk.get(CLOSE + "?month=2026-10")
    rows = [(r.customer.slug, r.cost_usd, r.supply, r.vat, r.total, r.problems) for r in page.context["rows"]]
    today = timezone.now().astimezone(KST).date()
    missing = [("no tax profile", f"naru has no tax profile in force on {today}")]
    assert rows == [
        ("gaon", "1000", "1,647,059", "164,706", "1,811,765", []),
        ("naru", "1", "1,647", "165", "1,812", missing),
    ]
    assert page.context["sums"] == {"cost_usd": "1001", "supply": "1,648,706", "vat": "164,871", "total": "1,813,577"}
    assert (BillingRun.objects.count(), Invoice.objects.count(), BillingPeriod.objects.count()) == (0, 0, 0)


def take(desk: Client, run: BillingRun, step: str, **answers: str) -> HttpResponse:
    return desk.post(f"/admin/billing/billingrun/{run.pk}/{step}/", answers)


def test_the_month_is_closed_in_steps_by_two_people(desk: Client, operator: User, eager: None) -> None:
    answer = desk.post(CLOSE, {"month": "2026-10"})
    run = BillingRun.objects.get()
    page_of_run = reverse("admin:billing_billingrun_change", args=[run.pk])
    assert answer.headers["Location"] == page_of_run
    page = desk.get(page_of_run)
    assert "waits for its exchange rate to be confirmed" in page.content.decode()
    assert "Refresh" not in page.headers
    evidence = desk.get(f"/admin/billing/billingrun/{run.pk}/confirm_rates/").content.decode()
    assert "1,400.00 (test, 2026-10-30)" in evidence
    assert take(desk, run, "confirm_rates", reason="checked").headers["Location"] == page_of_run
    assert take(desk, run, "draft").headers["Location"] == page_of_run
    assert items() == [("gaon", "pending", ""), ("naru", "parked", "no_tax_profile")]
    page = desk.get(page_of_run)
    shown = [(row["item"].customer.slug, row["problem"], row.get("total")) for row in page.context["run_rows"]]
    assert shown == [("naru", "no tax profile", None), ("gaon", "", "1,811,765")]
    assert Invoice.objects.count() == 0

    refused = take(desk, run, "approve", reason="looked at it")
    assert refused.context["form"].non_field_errors() == [
        f"{operator.email} asked for these drafts: somebody else has to approve them"
    ]
    second = Client(headers={"accept-language": "en"})
    second.force_login(User.objects.create_superuser("second@operator.example"))
    assert "1,811,765" in second.get(f"/admin/billing/billingrun/{run.pk}/approve/").content.decode()
    assert take(second, run, "approve", reason="looked at it").headers["Location"] == page_of_run
    assert take(second, run, "issue").headers["Location"] == page_of_run
    run.refresh_from_db()
    assert items() == [("gaon", "done", ""), ("naru", "parked", "no_tax_profile")]
    assert (run.actor, run.approved_by) == (operator.email, "second@operator.example")
    assert run.finished_at is not None
    [invoice] = Invoice.objects.all()
    assert (invoice.number, invoice.customer.slug, invoice.total_krw) == ("INV-202610-0001", "gaon", 1_811_765)
    page = desk.get(page_of_run)
    assert page.context["run_counts"] == {"total": 2, "pending": 0, "parked": 1, "done": 1}
    left = desk.get(CLOSE + "?month=2026-10")
    assert [row.customer.slug for row in left.context["rows"]] == ["naru"]


def test_one_task_for_some_customers_is_enqueued_and_the_page_reloads_until_they_are_through(
    desk: Client, operator: User
) -> None:
    desk.post(CLOSE, {"month": "2026-10"})
    run = BillingRun.objects.get()
    take(desk, run, "confirm_rates", reason="checked")
    with app.connection_for_write() as broker:
        channel = broker.default_channel
        while channel.basic_get("money"):  # left by other tests
            pass
        take(desk, run, "draft")
        arguments, _options, _embed = channel.basic_get("money").payload
        assert channel.basic_get("money") is None
    assert arguments == [list(BillingRunItem.objects.order_by("customer_id").values_list("pk", flat=True))]
    assert {status for _customer, status, _code in items()} == {"pending"}
    page = desk.get(reverse("admin:billing_billingrun_change", args=[run.pk]))
    assert page.headers["Refresh"] == "3"
    assert page.context["run_counts"] == {"total": 2, "pending": 2, "parked": 0, "done": 0}


def test_a_month_that_has_not_ended_is_refused_with_the_service_s_sentence(desk: Client) -> None:
    month = BillingMonth.of(timezone.now())
    answer = desk.post(CLOSE, {"month": str(month)})
    assert answer.status_code == 200
    ends: datetime = month.end_at.astimezone(KST)
    sentence = f"{month} ends at {ends:%Y-%m-%d %H:%M} KST"
    assert dict(answer.context["form"].errors) == {"month": [sentence]}
    assert sentence in answer.content.decode()
    assert BillingRun.objects.count() == 0


@pytest.mark.parametrize("text", ["", "2026-13", "October", "2026-10-01", "२०२६-१०"])
def test_a_month_that_can_t_be_read_is_refused(text: str, desk: Client) -> None:
    answer = desk.post(CLOSE, {"month": text})
    assert (answer.status_code, list(answer.context["form"].errors)) == (200, ["month"])
    assert BillingRun.objects.count() == 0


def test_a_broker_that_is_away_is_said_and_loses_nothing(desk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.post(CLOSE, {"month": "2026-10"})
    run = BillingRun.objects.get()
    take(desk, run, "confirm_rates", reason="checked")
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")  # nobody listens there
    monkeypatch.setattr(app, "_pool", None)
    monkeypatch.setattr(app.amqp, "_producer_pool", None)
    answer = take(desk, run, "draft")
    sentence = "the broker can't be reached, so no worker was told; ask for the drafts again later"
    assert (answer.status_code, dict(answer.context["form"].errors)) == (200, {"__all__": [sentence]})
    assert items() == [("gaon", "pending", ""), ("naru", "pending", "")]
