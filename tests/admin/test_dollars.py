"""Dollars that came in, as an operator writes them down and gives them to an invoice."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing.models import Allocation, Invoice, Payment
from tests.admin.house import House
from tests.billing.money import billed
from tests.billing.month import DOLLAR, LATER, NOVEMBER, publish, tenant, use

pytestmark = pytest.mark.django_db

LINE = {"reference": "wire-1", "received_at": "2026-12-02T10:00", "depositor_name": "DASAN CO"}


@pytest.fixture
def invoice(house: House) -> Invoice:
    """1,812 won, 1.30 dollars, of November; the dollar is 1,450 on 2 December."""
    dasan = tenant("dasan", invoice_currency="USD")
    use(dasan, DOLLAR, at="2026-11-10T12:00:00+09:00", now=LATER)
    made = billed(dasan, NOVEMBER, now=LATER)
    publish(date(2026, 12, 2), "1450")
    return made


def add(client: Client, **answers: Any) -> Any:
    return client.post(reverse("admin:billing_payment_add"), {**LINE, **answers})


def errors(answer: Any) -> dict[str, list[str]]:
    assert answer.status_code == 200
    return {field: list(texts) for field, texts in answer.context["form"].errors.items()}


def allocate(client: Client, payment: Payment, **answers: Any) -> Any:
    address = reverse("admin:billing_payment_change", args=[payment.pk])
    return client.post(address.removesuffix("change/") + "allocate/", answers)


def test_dollars_are_written_down_for_an_invoice(root: Client, invoice: Invoice) -> None:
    assert add(root, received_usd="2", invoice=invoice.number).status_code == 302
    payment = Payment.objects.get(reference="wire-1")
    assert (payment.amount_krw, payment.unapplied_krw, payment.unapplied_usd) == (2_900, 1_015, Decimal("0.70"))
    page = root.get(reverse("admin:billing_payment_change", args=[payment.pk])).content.decode()
    for text in ("2,900", "1450", "0.70", "2026-12-02"):
        assert text in page
    allocations = root.get(reverse("admin:billing_allocation_changelist")).content.decode()
    assert '<td class="field-allocated_usd">1.30</td><td class="field-exchange_krw">73</td>' in allocations


def test_dollars_are_given_to_an_invoice_later(root: Client, invoice: Invoice) -> None:
    assert add(root, received_usd="1.30", customer=invoice.customer.pk).status_code == 302
    payment = Payment.objects.get(reference="wire-1")
    wrong = allocate(root, payment, invoice=invoice.number, amount_krw="1000")
    assert errors(wrong) == {"amount_krw": ["amount_krw: dollars pay this invoice, say how many of them"]}
    assert errors(allocate(root, payment, invoice=invoice.number, amount_usd="1.31")) == {
        "amount_usd": ["USD 1.30 of the payment and the invoice are left"]
    }
    assert allocate(root, payment, invoice=invoice.number, amount_usd="0.30").status_code == 302
    assert allocate(root, payment, invoice=invoice.number).status_code == 302
    assert list(Allocation.objects.filter(payment=payment).values_list("allocated_usd", flat=True)) == [
        Decimal("1.00"),
        Decimal("0.30"),
    ]
    invoice.refresh_from_db()
    assert invoice.status == "paid"


def test_what_can_not_be_is_said_beside_its_field(root: Client, house: House, invoice: Invoice) -> None:
    assert errors(add(root)) == {"amount_krw": ["amount_krw: more than 0 won, at most 1,000,000,000,000,000"]}
    assert "received_usd" in errors(add(root, amount_krw="1,812", received_usd="1.30"))
    assert "received_usd" in errors(add(root, received_usd="1,300.00"))
    assert "invoice" in errors(add(root, received_usd="1.30", invoice="INV-202611-0099"))
    assert "invoice" in errors(add(root, received_usd="1.30", invoice=invoice.number, customer=house.gaon.pk))
    assert "received_at" in errors(add(root, received_usd="1.30", received_at="2026-06-01T10:00"))
    assert not Payment.objects.filter(reference="wire-1").exists()


def test_dollars_are_not_matched_by_hand_either(root: Client, invoice: Invoice) -> None:
    add(root, received_usd="1.30", customer=invoice.customer.pk)
    payment = Payment.objects.get(reference="wire-1")
    page = root.get(reverse("admin:billing_payment_change", args=[payment.pk])).content.decode()
    assert ("/allocate/" in page, "/match/" in page) == (True, False)
