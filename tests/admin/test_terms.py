"""Discounts and monthly minimums as an operator ends them, and evidence as it is withdrawn."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing.models import Discount, Invoice, MonthlyMinimum
from tests.admin.house import House

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("term", [Discount, MonthlyMinimum])
def test_a_term_is_ended_once_with_a_reason(root: Client, house: House, term: Any) -> None:
    """The house has one of either, which begins in December 2026."""
    row = term.objects.get()
    change = reverse(f"admin:billing_{term._meta.model_name}_change", args=[row.pk])
    end = change.removesuffix("change/") + "end/"
    assert end in root.get(change).content.decode()
    answers = {"effective_to": "2027-01-01", "reason": "계약 종료"}
    assert "reason" in root.post(end, answers | {"reason": ""}).context["form"].errors
    refused = root.post(end, answers | {"effective_to": "2026-11-01"})
    assert refused.context["form"].errors == {"effective_to": [f"effective_to: not before {row.effective_from}"]}
    done = root.post(end, answers, follow=True)
    assert "It holds no more from 2027-01-01 on." in done.content.decode()
    assert end not in done.content.decode()
    row.refresh_from_db()
    assert row.effective_to == date(2027, 1, 1)


def test_a_term_that_comes_too_late_for_an_invoice_says_so(root: Client, house: House) -> None:
    """October of the house is billed: a discount from October on is too late for it, one from November on is not."""
    invoice = Invoice.objects.exclude(status="void").order_by("month").last()
    assert invoice is not None
    answers = {
        "customer": invoice.customer_id,
        "name": "x",
        "amount_krw": "1",
        "provider": "",
        "models": "",
        "reason": "x",
    }
    late = f"{invoice.number} of {invoice.month:%Y-%m} was issued before and stays as it is."
    add = reverse("admin:billing_discount_add")
    first = invoice.month.isoformat()
    assert late in root.post(add, answers | {"effective_from": first, "name": "late"}, follow=True).content.decode()
    following = root.post(add, answers | {"effective_from": "2027-01-01"}, follow=True).content.decode()
    assert ("Added" in following, late in following) == (True, False)
