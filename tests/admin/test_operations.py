"""What operators can do to rows: each operation calls its service, says what happened, and is in the audit trail."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from accounts.models import ApiKey, AuditEntry
from accounts.selectors import authenticate_api_key
from accounts.services import add_tax_profile
from billing.adapters.tax_sandbox import Behaviour, SandboxProvider
from billing.models import BillingRunItem, Delivery, TaxInvoice
from billing.services.delivering import deliver_due
from tests.admin.house import House
from tests.billing.factories import ACTOR, CORPORATION, customer, issued_invoice
from tests.billing.month import DOLLAR, LATER, NOW, close, use
from usage.models import QuarantinedEvent, UsageRollup

pytestmark = pytest.mark.django_db

REASON = "요청 번호 114"


def run(client: Client, name: str, row: Any, **answers: str) -> list[str]:
    """Post one operation's page; the sentences that the next page shows. The refused page raises."""
    address = reverse(f"admin:{name}", args=[row.pk])
    assert client.get(address).status_code == 200
    answer = client.post(address, answers)
    assert answer.status_code == 302, answer.context["form"].errors
    return [str(message) for message in get_messages(answer.wsgi_request)]


def refusal(client: Client, name: str, row: Any, **answers: str) -> dict[str, list[str]]:
    """Post one operation's page that is refused; its errors by field."""
    answer = client.post(reverse(f"admin:{name}", args=[row.pk]), answers)
    assert answer.status_code == 200
    return {field: list(errors) for field, errors in answer.context["form"].errors.items()}


def run_on(client: Client, name: str, operation: str, rows: list[Any], **answers: str) -> list[str]:
    """Select rows in a list, choose the operation, confirm its page."""
    address = reverse(f"admin:{name}_changelist")
    chosen = {"action": operation, "_selected_action": [row.pk for row in rows]}
    page = client.post(address, {**chosen, "index": "0", "select_across": "0"})
    assert page.status_code == 200
    hidden: dict[str, Any] = {}
    for key, value in page.context["hidden"]:
        hidden.setdefault(key, []).append(value)
    answer = client.post(address, {**hidden, **answers})
    assert answer.status_code == 302, answer.context["form"].errors
    return [str(message) for message in get_messages(answer.wsgi_request)]


def trail(action: str) -> list[tuple[str, str, str, str]]:
    """Who did that to what and why, oldest first."""
    entries = AuditEntry.objects.filter(action=action).order_by("pk")
    return [(entry.actor, entry.object_type, entry.object_id, entry.reason) for entry in entries]


# -- Keys --------------------------------------------------------------------------------------------------------------
def test_revoking_a_key(root: Client, house: House) -> None:
    key = house.key.key
    assert authenticate_api_key(house.key.secret, at=LATER) == key
    assert refusal(root, "accounts_apikey_revoke", key, reason="  ") == {"reason": ["This field is required."]}
    run(root, "accounts_apikey_revoke", key, reason=REASON)
    assert authenticate_api_key(house.key.secret, at=LATER) is None
    assert ApiKey.objects.get(pk=key.pk).revoked_by == house.root.email
    assert trail("revoke_api_key") == [(house.root.email, "accounts.apikey", str(key.pk), REASON)]
    again = root.get(reverse("admin:accounts_apikey_revoke", args=[key.pk]), follow=True)
    assert [str(message) for message in again.context["messages"]][-1] == "This is not possible, or no longer."


# -- Catalog and quarantine --------------------------------------------------------------------------------------------
def test_deciding_a_quarantined_price_and_pricing_what_waited_for_it(root: Client, house: House) -> None:
    address = reverse("admin:catalog_price_resolve", args=[house.odd_price.pk])
    page = root.get(address)
    assert [page.context["form"][key].initial for key in ("prompt", "completion", "request")] == [
        "0.000002",
        "0.00001",
        "",
    ]
    assert "warp: not a price key that is known here" in page.content.decode()

    prices = {"prompt": "0.000002", "completion": "1e-5", "overrides": "[]"}
    assert refusal(root, "catalog_price_resolve", house.odd_price, **prices) == {"reason": ["This field is required."]}
    wrong = refusal(root, "catalog_price_resolve", house.odd_price, **prices, reason=REASON)
    assert list(wrong) == ["completion"]
    assert list(
        refusal(root, "catalog_price_resolve", house.odd_price, **prices | {"overrides": "{}"}, reason="x")
    ) == ["overrides"]
    assert trail("resolve_quarantined_price") == []

    run(root, "catalog_price_resolve", house.odd_price, **prices | {"completion": "0.00001"}, reason=REASON)
    house.odd_price.refresh_from_db()
    assert (house.odd_price.kind, house.odd_price.components, house.odd_price.overrides) == (
        "listed",
        {"prompt": "0.000002", "completion": "0.00001"},
        [],
    )
    assert trail("resolve_quarantined_price") == [(house.root.email, "catalog.price", str(house.odd_price.pk), REASON)]

    said = run(root, "usage_quarantinedevent_rate", house.quarantined)
    assert said == ["gaon: 1 of 1 waiting event priced, USD 2."]
    house.quarantined.refresh_from_db()
    assert (house.quarantined.status, str(house.quarantined.cost_usd.normalize())) == ("rated", "2")
    assert UsageRollup.objects.get(billing_month="2026-11-01").cost_usd == 2
    assert trail("rate_quarantined_events") == [(house.root.email, "accounts.customer", str(house.gaon.pk), "")]


def test_pricing_again_leaves_what_has_no_price(root: Client, house: House) -> None:
    assert run(root, "usage_quarantinedevent_rate", house.quarantined) == ["gaon: 0 of 1 waiting event priced, USD 0."]
    house.quarantined.refresh_from_db()
    assert house.quarantined.status == "open"


def test_excluding_selected_events_one_by_one(root: Client, house: House) -> None:
    for number in (2, 3):
        use(house.gaon, DOLLAR, model="acme/odd", at=f"2026-11-01T1{number}:00:00+09:00", event_id=f"odd-{number}")
    waiting = list(QuarantinedEvent.objects.order_by("pk"))
    run(root, "usage_quarantinedevent_exclude", waiting[0], reason="first")
    said = run_on(root, "usage_quarantinedevent", "exclude", waiting, reason=REASON)
    assert said == ["Excluded from billing. (× 2)"]
    decided = QuarantinedEvent.objects.order_by("pk").values_list("status", "resolution", "resolved_by")
    assert list(decided) == [
        ("excluded", "first", house.root.email),
        ("excluded", REASON, house.root.email),
        ("excluded", REASON, house.root.email),
    ]
    assert [entry[3] for entry in trail("exclude_quarantined_event")] == ["first", REASON, REASON]
    address = reverse("admin:usage_quarantinedevent_changelist")
    nothing = root.post(address, {"action": "exclude", "_selected_action": [waiting[0].pk], "index": "0"}, follow=True)
    last_said = [str(message) for message in nothing.context["messages"]][-1]
    assert last_said == "This is not possible for any of the selected rows."


def test_pricing_selected_events_runs_once_a_customer(root: Client, house: House) -> None:
    use(house.gaon, DOLLAR, model="acme/odd", at="2026-11-01T12:00:00+09:00", event_id="odd-2")
    use(house.naru, DOLLAR, model="acme/odd", at="2026-11-01T12:00:00+09:00", event_id="odd-2")
    said = run_on(root, "usage_quarantinedevent", "rate", list(QuarantinedEvent.objects.all()))
    assert sorted(said) == [
        "gaon: 0 of 2 waiting events priced, USD 0.",
        "naru: 0 of 1 waiting event priced, USD 0.",
    ]


# -- Deliveries and tax invoices ---------------------------------------------------------------------------------------
def test_a_delivery_that_was_given_up_is_tried_again(root: Client, house: House) -> None:
    delivery = Delivery.objects.filter(kind="invoice_email").first()
    assert delivery is not None
    requeue = reverse("admin:billing_delivery_requeue", args=[delivery.pk])
    assert root.get(requeue).status_code == 302
    Delivery.objects.filter(pk=delivery.pk).update(status="dead", attempts=8, last_error="SMTPServerDisconnected")
    said = run_on(root, "billing_delivery", "requeue", [delivery], reason=REASON)
    assert said == ["Queued again: a worker takes it within a minute."]
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts) == ("pending", 0)
    assert trail("requeue_delivery") == [(house.root.email, "billing.delivery", str(delivery.pk), REASON)]


def test_a_refused_tax_invoice_is_sent_again(root: Client, house: House) -> None:
    tax_invoice = issued_invoice(customer("mirae"), number="INV-202610-0002").tax_invoice
    deliver_due(now=NOW, limit=10, clock=lambda: NOW, provider=SandboxProvider(Behaviour.REJECT, clock=lambda: NOW))
    tax_invoice.refresh_from_db()
    assert tax_invoice.status == TaxInvoice.Status.FAILED
    assert run_on(root, "billing_taxinvoice", "retry", [tax_invoice], reason=REASON) == [
        "Queued again: a worker takes it within a minute."
    ]
    tax_invoice.refresh_from_db()
    delivery = tax_invoice.invoice.deliveries.get(kind="tax_invoice")
    assert (tax_invoice.status, delivery.status) == ("queued", "pending")
    assert trail("requeue_tax_invoice") == [(house.root.email, "billing.taxinvoice", str(tax_invoice.pk), REASON)]
    assert trail("requeue_delivery") == [(house.root.email, "billing.delivery", str(delivery.pk), REASON)]


def test_a_tax_invoice_whose_deadline_passed_is_issued_late_by_a_named_person(
    root: Client, house: House, settings: Any
) -> None:
    tax_invoice = issued_invoice(customer("mirae"), number="INV-202610-0002").tax_invoice
    settings.TAX_SANDBOX_BEHAVIOUR = "unavailable"
    away = refusal(root, "billing_taxinvoice_send-late", tax_invoice, reason=REASON)
    assert list(away) == ["__all__"]
    settings.TAX_SANDBOX_BEHAVIOUR = "reject"
    other = issued_invoice(customer("dasan"), number="INV-202610-0003").tax_invoice
    assert list(refusal(root, "billing_taxinvoice_send-late", other, reason=REASON)) == ["__all__"]
    other.refresh_from_db()
    assert other.status == "failed"

    settings.TAX_SANDBOX_BEHAVIOUR = "accept"
    [said] = run(root, "billing_taxinvoice_send-late", tax_invoice, reason=REASON)
    tax_invoice.refresh_from_db()
    assert tax_invoice.status == "issued"
    assert said == f"Issued late: approval no. {tax_invoice.approval_no}."
    assert tax_invoice.invoice.deliveries.get(kind="tax_invoice").status == "done"
    forced = [entry for entry in trail("force_late_tax_invoice") if entry[2] == str(tax_invoice.pk)]
    assert forced[-1] == (house.root.email, "billing.taxinvoice", str(tax_invoice.pk), REASON)
    assert root.get(reverse("admin:billing_taxinvoice_send-late", args=[tax_invoice.pk])).status_code == 302


# -- Runs --------------------------------------------------------------------------------------------------------------
def test_a_parked_customer_is_closed_once_what_was_missing_is_there(root: Client, house: House, eager: None) -> None:

    item = BillingRunItem.objects.get(customer=house.naru)
    assert (item.status, item.reason_code) == ("parked", "no_tax_profile")
    run(root, "billing_billingrunitem_close", item)
    item.refresh_from_db()
    assert (item.status, item.reason_code) == ("parked", "no_tax_profile")
    add_tax_profile(customer=house.naru, valid_from=date(2025, 1, 1), actor=ACTOR, **CORPORATION)
    assert run(root, "billing_billingrunitem_close", item) == ["naru is being closed."]
    item.refresh_from_db()
    assert item.status == "done"
    assert (item.invoice.number, item.invoice.total_krw) == ("INV-202610-0002", 1812)
    issued = AuditEntry.objects.get(action="issue_invoice", object_id=str(item.invoice.pk))
    assert issued.actor == house.root.email
    close()
    assert root.get(reverse("admin:billing_billingrunitem_close", args=[item.pk])).status_code == 302
