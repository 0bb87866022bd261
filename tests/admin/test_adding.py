"""What is added from the operators' pages goes through services, and their refusals stand beside the fields."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib import admin
from django.forms import ModelChoiceField
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import ApiKey, AuditEntry, Customer, Membership, SellerProfile, TaxProfile
from accounts.selectors import authenticate_api_key
from billing.models import ExchangeRate, HolidayOverride, MarginRule
from catalog.models import Model, ModelAlias, Provider
from tests.admin.house import House
from tests.billing.factories import CORPORATION, SELLER
from usage.periods import KST

pytestmark = pytest.mark.django_db


def add(client: Client, name: str, /, **answers: Any) -> Any:
    """Post the add page of a model."""
    return client.post(reverse(f"admin:{name}_add"), answers)


def errors(answer: Any) -> dict[str, list[str]]:
    """The errors of a page that was refused, by field."""
    assert answer.status_code == 200
    return {field: list(texts) for field, texts in answer.context["form"].errors.items()}


def form_of(page: Any) -> Any:
    """The form that a page shows, the admin's own or one of ours."""
    return page.context["form"] if "form" in page.context else page.context["adminform"].form


#: Which add forms choose rows, by field.
CHOOSING = {
    "accounts.ApiKey": ["customer"],
    "accounts.Membership": ["user", "customer"],
    "accounts.TaxProfile": ["customer"],
    "auth.Group": ["permissions"],
    "billing.Discount": ["customer", "provider"],
    "billing.MarginRule": ["customer", "provider", "model"],
    "billing.MonthlyMinimum": ["customer"],
    "billing.Payment": ["customer"],
    "billing.PromotionalCredit": ["customer"],
    "billing.TopUpSetting": ["customer"],
    "billing.ZeroRating": ["customer"],
    "catalog.ModelAlias": ["model"],
    "catalog.PriceChange": ["model"],
}


def last_audit() -> tuple[str, str, str, str]:
    entry = AuditEntry.objects.order_by("pk").last()
    assert entry is not None
    return entry.actor, entry.action, entry.object_type, entry.reason


@pytest.mark.parametrize("key", ["zzz", "９", "9" * 30, "-1"])
def test_what_is_no_row_is_refused_in_every_form(root: Client, house: House, key: str) -> None:
    refused: dict[str, list[str]] = {}
    for model in sorted(admin.site._registry, key=lambda one: one._meta.label):
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add")
        shown = root.get(address)
        if shown.status_code == 200:
            fields = form_of(shown).fields
            chosen = [name for name, field in fields.items() if isinstance(field, ModelChoiceField)]
            again = form_of(root.post(address, dict.fromkeys(chosen, key)))
            assert set(chosen) <= set(again.errors), model
            refused |= {model._meta.label: chosen} if chosen else {}
    assert refused == CHOOSING


# -- Keys --------------------------------------------------------------------------------------------------------------
def test_a_key_is_shown_once_and_kept_by_no_cache(root: Client, house: House) -> None:
    form_id = root.get(reverse("admin:accounts_apikey_add")).context["form"].initial["form_id"]
    answers = {"scope": "customer", "customer": house.gaon.pk, "name": "ci", "form_id": form_id}
    answer = add(root, "accounts_apikey", **answers)
    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]
    [secret] = re.findall(r"sk-jeongsan-[0-9A-Za-z]{32}", answer.content.decode())
    key = authenticate_api_key(secret, at=timezone.now())
    assert key is not None
    assert (key.name, key.customer, key.created_by, key.expires_at) == ("ci", house.gaon, house.root.email, None)
    assert last_audit() == (house.root.email, "create_api_key", "accounts.apikey", "")
    pages = [reverse("admin:accounts_apikey_change", args=[key.pk]), reverse("admin:accounts_apikey_changelist")]
    assert [page for page in pages if secret in root.get(page).content.decode()] == []

    again = add(root, "accounts_apikey", **answers)
    assert again.headers["Location"] == pages[1]
    assert ApiKey.objects.filter(name="ci").count() == 1


def test_an_ingest_key_belongs_to_nobody(root: Client, house: House) -> None:
    assert add(root, "accounts_apikey", scope="ingest", name="upstream").status_code == 200
    assert (ApiKey.objects.get(name="upstream").scope, ApiKey.objects.get(name="upstream").customer) == ("ingest", None)
    both = add(root, "accounts_apikey", scope="ingest", name="both", customer=house.gaon.pk)
    assert errors(both) == {"customer": ["An ingest key belongs to no customer."]}
    neither = add(root, "accounts_apikey", scope="customer", name="neither")
    assert errors(neither) == {"customer": ["Choose the customer that this key meters."]}
    past = add(root, "accounts_apikey", scope="ingest", name="past", expires_at="2020-01-01T00:00")
    assert errors(past) == {"expires_at": ["A key can't expire in the past."]}
    assert errors(add(root, "accounts_apikey", scope="ingest", name="   ")) == {"name": ["This field is required."]}
    assert set(ApiKey.objects.values_list("name", flat=True)) == {"production", "upstream"}


# -- Customers and identities ------------------------------------------------------------------------------------------
TERMS = {
    "status": "active",
    "locale": "ko",
    "invoice_currency": "KRW",
    "rounding": "half_up",
    "payment_due_days": "15",
}


def test_a_customer_is_added_and_its_terms_are_changed_with_a_reason(root: Client, house: House) -> None:
    new = {"slug": "dasan", "name": "다산", "exchange_rule": "month_end", **TERMS}
    assert errors(add(root, "accounts_customer", **new | {"slug": "gaon"})) == {
        "slug": ["Customer with this Slug already exists."]
    }
    assert errors(add(root, "accounts_customer", **new | {"exchange_rule": "fixed"})) == {
        "fixed_rate_krw_per_usd": ["The contract rate rule needs a rate above 0."]
    }
    assert errors(add(root, "accounts_customer", **new, fixed_rate_krw_per_usd="1400")) == {
        "fixed_rate_krw_per_usd": ["Only the contract rate rule has a rate."]
    }
    daily = {"exchange_rule": "daily", "invoice_currency": "USD"}
    one_rate = ["An invoice in dollars needs one rate for the month, not one for each day."]
    assert errors(add(root, "accounts_customer", **new | daily)) == {"invoice_currency": one_rate}
    assert add(root, "accounts_customer", **new).status_code == 302
    dasan = Customer.objects.get(slug="dasan")
    assert last_audit() == (house.root.email, "create_customer", "accounts.customer", "")

    page = reverse("admin:accounts_customer_change", args=[dasan.pk])
    no_members = {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
    no_profiles = {"tax_profiles-TOTAL_FORMS": "0", "tax_profiles-INITIAL_FORMS": "0"}
    terms = {
        **new,
        **no_members,
        **no_profiles,
        "exchange_rule": "fixed",
        "fixed_rate_krw_per_usd": "1400",
        "slug": "moved",
    }
    assert root.post(page, terms).context["adminform"].form.errors == {"reason": ["This field is required."]}
    assert root.post(page, {**terms, "reason": "계약 변경"}).status_code == 302
    dasan.refresh_from_db()
    assert (dasan.slug, dasan.exchange_rule, dasan.fixed_rate_krw_per_usd) == ("dasan", "fixed", Decimal(1400))
    entry = AuditEntry.objects.order_by("pk").last()
    assert entry is not None
    assert (entry.actor, entry.action, entry.reason) == (house.root.email, "admin_change", "계약 변경")
    assert entry.data["message"][-1] == {
        "values": {"exchange_rule": ["month_end", "fixed"], "fixed_rate_krw_per_usd": [None, "1400"]}
    }

    assert root.post(page, {**terms, "reason": "달러 청구", "invoice_currency": "USD"}).status_code == 302
    dasan.refresh_from_db()
    assert dasan.invoice_currency == "USD"
    no_rate = {"exchange_rule": "daily", "fixed_rate_krw_per_usd": "", "invoice_currency": "USD"}
    refused = root.post(page, {**terms, **no_rate, "reason": "일별 환율"})
    assert refused.context["adminform"].form.errors == {"exchange_rule": one_rate}


def test_a_tax_profile_is_a_new_version_and_its_number_is_checked(root: Client, house: House) -> None:
    answers = {"customer": house.naru.pk, "valid_from": "2026-11-01", **CORPORATION}
    page = root.get(reverse("admin:accounts_taxprofile_add") + f"?customer={house.naru.pk}")
    assert page.context["form"]["customer"].value() == str(house.naru.pk)
    wrong = add(root, "accounts_taxprofile", **answers | {"registration_no": "220-81-62518"})
    assert errors(wrong) == {
        "registration_no": ["The check digit of the business registration number does not match: a digit is mistyped."]
    }
    assert add(root, "accounts_taxprofile", **answers).status_code == 302
    profile = TaxProfile.objects.get(customer=house.naru)
    assert (profile.registration_no, profile.valid_from, profile.created_by) == (
        "2208162517",
        date(2026, 11, 1),
        house.root.email,
    )
    assert last_audit() == (house.root.email, "add_tax_profile", "accounts.taxprofile", "")
    twice = add(root, "accounts_taxprofile", **answers)
    assert errors(twice) == {"valid_from": ["naru already has a tax profile from 2026-11-01"]}
    foreign = {
        "kind": "foreign",
        "name": "Nordlicht GmbH",
        "ceo_name": "A",
        "address": "Hamburg",
        "email": "a@n.example",
    }
    missing = add(root, "accounts_taxprofile", customer=house.naru.pk, valid_from="2026-12-01", **foreign)
    assert list(errors(missing)) == ["foreign_id"]
    assert (
        add(
            root, "accounts_taxprofile", customer=house.naru.pk, valid_from="2026-12-01", foreign_id="HRB 1", **foreign
        ).status_code
        == 302
    )
    assert TaxProfile.objects.filter(customer=house.naru).count() == 2


def test_a_seller_profile_is_a_new_version(root: Client, house: House) -> None:
    assert add(root, "accounts_sellerprofile", valid_from="2026-12-01", **SELLER).status_code == 302
    assert SellerProfile.objects.get(valid_from="2026-12-01").registration_no == "2018612345"
    assert last_audit() == (house.root.email, "add_seller_profile", "accounts.sellerprofile", "")
    assert list(errors(add(root, "accounts_sellerprofile", valid_from="2026-12-01", **SELLER))) == ["valid_from"]


# -- Terms of money ----------------------------------------------------------------------------------------------------
def test_a_rate_needs_a_plausible_number_a_source_and_a_reason(root: Client, house: House) -> None:
    rate = {"date": "2026-11-02", "rate": "1443.20", "source": "서울외국환중개", "reason": "고시"}
    for field, text in {"rate": "1,443.20", "date": "2026-02-30", "source": " ", "reason": ""}.items():
        assert list(errors(add(root, "billing_exchangerate", **rate | {field: text}))) == [field]
    for text in ("0", "14.4320", "1443.20001", "1443.2e0", "１４４３", "-1443"):
        assert list(errors(add(root, "billing_exchangerate", **rate | {"rate": text}))) == ["rate"]
    future = str(timezone.now().astimezone(KST).date() + timedelta(days=2))
    assert list(errors(add(root, "billing_exchangerate", **rate | {"date": future}))) == ["date"]
    before = ExchangeRate.objects.count()
    assert add(root, "billing_exchangerate", **rate).status_code == 302
    assert add(root, "billing_exchangerate", **rate | {"rate": "1443.30", "reason": "정정"}).status_code == 302
    assert ExchangeRate.objects.count() == before + 2
    newest = ExchangeRate.objects.order_by("pk").last()
    assert newest is not None
    assert (newest.rate, newest.actor) == (Decimal("1443.30"), house.root.email)
    assert last_audit() == (house.root.email, "set_rate", "billing.exchangerate", "정정")


def test_a_margin_rule_ends_the_one_before_it(root: Client, house: House) -> None:
    rule = {"customer": house.gaon.pk, "margin": "0.2", "effective_from": "2026-12-01"}
    for text in ("1", "1.5", "-0.1", "0.123456", "20%"):
        assert list(errors(add(root, "billing_marginrule", **rule | {"margin": text}))) == ["margin"]
    assert add(root, "billing_marginrule", **rule).status_code == 302
    assert add(root, "billing_marginrule", **rule | {"customer": "", "margin": "0.18"}).status_code == 302
    rules = MarginRule.objects.order_by("pk").values_list("customer__slug", "margin", "effective_to")
    assert list(rules) == [
        (None, Decimal("0.15000"), date(2026, 12, 1)),
        ("gaon", Decimal("0.20000"), None),
        (None, Decimal("0.18000"), None),
    ]
    acme, dollar = Provider.objects.get(slug="acme").pk, Model.objects.get(model_id="acme/dollar").pk
    for scope in ({"provider": acme}, {"family": "acme/d"}, {"model": dollar, "basis": "higher"}):
        assert add(root, "billing_marginrule", **rule | scope).status_code == 302
    narrow = MarginRule.objects.order_by("pk")[3:].values_list("provider", "family", "model", "basis")
    assert list(narrow) == [
        (acme, "", None, "catalog"),
        (None, "acme/d", None, "catalog"),
        (None, "", dollar, "higher"),
    ]
    for scope in ({"provider": acme, "model": dollar}, {"family": "acme"}):
        assert list(errors(add(root, "billing_marginrule", **rule | scope))) == ["family"]
    text = root.get(reverse("admin:billing_marginrule_changelist")).content.decode()
    assert "acme/d<" in text
    earlier = add(root, "billing_marginrule", **rule | {"effective_from": "2026-06-01"})
    assert list(errors(earlier)) == ["effective_from"]
    assert last_audit() == (house.root.email, "set_margin", "billing.marginrule", "")


def test_a_refusal_begins_in_the_language_of_the_page(root: Client, house: House) -> None:
    rule = {"customer": house.gaon.pk, "margin": "0.2", "effective_from": "2026-12-01"}
    assert add(root, "billing_marginrule", **rule).status_code == 302
    earlier = rule | {"effective_from": "2026-06-01"}
    said = "gaon already has a margin rule from 2026-12-01; a rule starts later"
    assert errors(add(root, "billing_marginrule", **earlier)) == {"effective_from": [said]}
    assert errors(add(root, "billing_marginrule", **rule | {"margin": "20%"})) == {
        "margin": ["Enter a plain number such as 1443.20: digits and one point, no separators."]
    }
    korean = Client(headers={"accept-language": "ko"})
    korean.force_login(house.root)
    told = errors(add(korean, "billing_marginrule", **earlier))
    assert told == {"effective_from": [f"이미 등록된 내용과 맞지 않습니다: {said}"]}


def test_an_alias_never_hides_a_model(root: Client, house: House) -> None:
    dollar, cent = (Model.objects.get(model_id=f"acme/{name}").pk for name in ("dollar", "cent"))
    assert add(root, "catalog_modelalias", alias="cheap", model=cent).status_code == 302
    assert ModelAlias.objects.get(alias="cheap").created_by == house.root.email
    assert last_audit() == (house.root.email, "add_alias", "catalog.modelalias", "")
    for alias in ("cheap", "acme/cent", " padded", "with space"):
        assert list(errors(add(root, "catalog_modelalias", alias=alias, model=dollar))) == ["alias"]


# -- Edited in place ---------------------------------------------------------------------------------------------------
def test_holidays_and_memberships_are_edited_and_audited(root: Client, house: House) -> None:
    holiday = HolidayOverride.objects.get()
    page = reverse("admin:billing_holidayoverride_change", args=[holiday.pk])
    assert root.post(page, {"day": "2027-06-02", "is_holiday": "on", "note": "임시공휴일"}).status_code == 302
    assert HolidayOverride.objects.get().day == date(2027, 6, 2)
    assert last_audit() == (house.root.email, "admin_change", "billing.holidayoverride", "")
    assert root.post(page.replace("change", "delete"), {"post": "yes"}).status_code == 302
    assert HolidayOverride.objects.count() == 0
    assert last_audit() == (house.root.email, "admin_delete", "billing.holidayoverride", "")

    member = Membership.objects.get().user
    assert add(root, "accounts_membership", user=member.pk, customer=house.naru.pk, role="member").status_code == 302
    assert last_audit() == (house.root.email, "admin_add", "accounts.membership", "")
    assert set(member.memberships.values_list("customer__slug", "role")) == {("gaon", "owner"), ("naru", "member")}
