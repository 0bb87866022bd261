"""Customers, users and tax identities: checked on the way in, versioned, never edited."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from accounts.errors import Conflict, DomainError, InvalidInput
from accounts.models import Customer, TaxProfile, User
from accounts.selectors import customer_by_slug, tax_profile_in_force
from accounts.services import add_tax_profile, create_customer
from tests.billing.factories import CORPORATION, FOREIGN

pytestmark = pytest.mark.django_db


def profile(customer: Customer, valid_from: date = date(2026, 1, 1), **changes: str) -> TaxProfile:
    return add_tax_profile(customer=customer, valid_from=valid_from, actor="t", **(CORPORATION | changes))


@pytest.fixture
def customer() -> Customer:
    return create_customer(slug="gaon", name="가온", actor="t")


def test_the_number_is_stored_as_digits(customer: Customer) -> None:
    assert profile(customer, registration_no="116-82-00276").registration_no == "1168200276"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"registration_no": "116-82-00277"}, "registration_no"),
        ({"registration_no": "000-00-00000"}, "registration_no"),
        ({"registration_no": ""}, "registration_no"),
        ({"name": ""}, "name"),
        ({"name": "가" * 71}, "name"),
        ({"ceo_name": ""}, "ceo_name"),
        ({"email": "nobody"}, "email"),
        ({"email2": "also nobody"}, "email2"),
        ({"kind": "charity"}, "kind"),
        ({"foreign_id": "X1"}, "foreign_id"),
        ({"kind": "foreign"}, "foreign_id"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_stored(customer: Customer, changes: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        profile(customer, **changes)
    assert refusal.value.field == field
    assert not TaxProfile.objects.exists()


def test_a_sole_trader_and_a_foreign_company(customer: Customer) -> None:
    assert profile(customer, kind="sole_trader").kind == "sole_trader"
    foreign = add_tax_profile(customer=customer, valid_from=date(2026, 2, 1), actor="t", **FOREIGN)
    assert (foreign.registration_no, foreign.foreign_id) == ("9999999999999", "DE811907980")


def test_the_version_in_force_on_a_day(customer: Customer) -> None:
    first = profile(customer, date(2026, 1, 1))
    second = profile(customer, date(2026, 3, 1), name="새 이름")
    days = (date(2025, 12, 31), date(2026, 1, 1), date(2026, 2, 28), date(2026, 3, 1), date(2027, 1, 1))
    assert [tax_profile_in_force(customer, on=day) for day in days] == [None, first, first, second, second]
    with pytest.raises(Conflict) as refusal:
        profile(customer, date(2026, 3, 1))
    assert refusal.value.field == "valid_from"


def test_a_slug_is_taken_once() -> None:
    create_customer(slug="same", name="A", actor="t")
    with pytest.raises(DomainError) as refusal:
        create_customer(slug="same", name="B", actor="t")
    assert refusal.value.field == "slug"
    assert customer_by_slug("same").name == "A"


@pytest.mark.parametrize(
    "policy",
    [
        {"exchange_rule": "fixed"},
        {"exchange_rule": "fixed", "fixed_rate_krw_per_usd": Decimal(0)},
        {"exchange_rule": "daily", "fixed_rate_krw_per_usd": Decimal(1400)},
    ],
)
def test_a_contract_rate_belongs_to_the_fixed_rule(policy: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refusal:
        create_customer(slug="x", name="x", actor="t", **policy)
    assert refusal.value.field == "fixed_rate_krw_per_usd"
    assert not Customer.objects.exists()


def test_the_database_holds_the_contract_rate_to_its_rule() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Customer.objects.create(slug="x", name="x", exchange_rule="fixed")
    with pytest.raises(IntegrityError), transaction.atomic():
        Customer.objects.create(slug="x", name="x", exchange_rule="month_end", fixed_rate_krw_per_usd=1400)


def test_an_email_address_is_one_user_whatever_its_case() -> None:
    User.objects.create_user("Kim@Gaon.example", "long enough words")
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user("kim@gaon.example", "long enough words")
    assert User.objects.get_by_natural_key("KIM@gaon.example").check_password("long enough words")


def test_dollars_are_invoiced_at_one_rate() -> None:
    with pytest.raises(InvalidInput) as refusal:
        create_customer(slug="x", name="x", actor="t", exchange_rule="daily", invoice_currency="USD")
    assert refusal.value.field == "invoice_currency"
    with pytest.raises(InvalidInput) as refusal:
        create_customer(slug="x", name="x", actor="t", invoice_currency="EUR")
    assert refusal.value.field == "invoice_currency"
    made = create_customer(slug="x", name="x", actor="t", invoice_currency="USD")
    fixed = {"exchange_rule": "fixed", "fixed_rate_krw_per_usd": Decimal(1400)}
    create_customer(slug="y", name="y", actor="t", invoice_currency="USD", **fixed)
    assert create_customer(slug="z", name="z", actor="t").invoice_currency == "KRW"
    with pytest.raises(IntegrityError), transaction.atomic():
        Customer.objects.filter(pk=made.pk).update(exchange_rule="daily")
