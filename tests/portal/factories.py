"""Rows for the page tests, made through the services that make them in life.

The cast: acme is 한빛 주식회사 (an owner, usage, a closed month), globex another customer with the same, mallory an
operator without any membership.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.utils import timezone

from accounts.models import Customer, Membership, User
from accounts.services import IssuedKey, add_seller_profile, add_tax_profile, create_api_key, create_customer
from billing.models import BillingRunItem, Invoice
from billing.services.closing import close_customer, start_run
from billing.services.exchange import set_rate
from billing.services.margins import set_margin
from catalog.models import Model, Price, Provider
from usage.periods import KST, BillingMonth
from usage.services.ingesting import ItemResult, Status, ingest_events

ACTOR = "test"
PASSWORD = "correct horse battery"
#: Prices in USD per token: round numbers, so that sums can be done in the head.
PRICES = {
    "openai/gpt-5-mini": ("GPT-5 mini", "0.000001", "0.000004", "0.0000001"),
    "anthropic/claude-sonnet-4.5": ("Claude Sonnet 4.5", "0.000003", "0.000015", "0.0000003"),
}
RATE = Decimal("1400")
MARGIN = Decimal("0.15")


def this_month() -> BillingMonth:
    return BillingMonth.of(timezone.now())


def today() -> date:
    return timezone.now().astimezone(KST).date()


def make_user(*, email: str, is_staff: bool = False, customers: tuple[Customer, ...] = ()) -> User:
    """A person who logs in with PASSWORD; an owner at each of the customers."""
    user = User.objects.create_user(email, PASSWORD, is_staff=is_staff)
    for customer in customers:
        Membership.objects.create(user=user, customer=customer, role=Membership.Role.OWNER)
    return user


def make_customer(*, slug: str, name: str, brn: str = "", **policy: object) -> Customer:
    """A customer; with a business number also the tax profile that an invoice needs."""
    customer = create_customer(slug=slug, name=name, actor=ACTOR, **policy)
    if brn:
        add_tax_profile(
            customer=customer,
            kind="corporation",
            valid_from=date(2026, 1, 1),
            actor=ACTOR,
            registration_no=brn,
            name=name,
            ceo_name="김한빛",
            address="서울특별시 강남구 테헤란로 1",
            business_type="정보통신업",
            business_class="소프트웨어 개발",
            email=f"tax@{slug}.example",
        )
    return customer


def make_seller() -> None:
    add_seller_profile(
        valid_from=date(2026, 1, 1),
        actor=ACTOR,
        registration_no="1248100998",
        name="정산파트너 주식회사",
        ceo_name="이정산",
        address="서울특별시 중구 세종대로 110",
        business_type="서비스업",
        business_class="데이터 처리",
        email="billing@seller.example",
        bank_name="국민은행",
        bank_account_no="123456-04-567890",
        bank_account_holder="정산파트너 주식회사",
    )


def make_catalog() -> None:
    """Two models at PRICES since 2026-01-01."""
    since = datetime(2026, 1, 1, tzinfo=KST)
    for model_id, (name, prompt, completion, cached) in PRICES.items():
        provider, _ = Provider.objects.get_or_create(slug=model_id.split("/")[0], defaults={"name": model_id})
        model = Model.objects.create(provider=provider, model_id=model_id, canonical_slug=model_id, name=name)
        components = {"prompt": prompt, "completion": completion, "input_cache_read": cached}
        Price.objects.create(
            model=model,
            kind=Price.Kind.LISTED,
            effective_from=since,
            components=components,
            listed_pricing=components,
            source="test",
            created_by=ACTOR,
        )


def make_terms(*, rate_on: date | None = None) -> None:
    """A margin of 15 % for all and a rate of 1,400 won for yesterday, or for the day given."""
    set_margin(customer=None, margin=MARGIN, effective_from=date(2026, 1, 1), actor=ACTOR)
    make_rate(rate_on=rate_on or today() - timedelta(days=1))


def make_rate(*, rate_on: date, rate: Decimal = RATE) -> None:
    set_rate(rate_on=rate_on, rate=rate, source="한국수출입은행", reason="고시", actor=ACTOR, now=timezone.now())


def make_usage(
    *,
    customer: Customer,
    event_id: str,
    occurred_at: datetime,
    model: str = "openai/gpt-5-mini",
    prompt: int = 1_000_000,
    cached: int = 0,
    completion: int = 250_000,
) -> ItemResult:
    """One metered call; by default USD 1 of input and USD 1 of output."""
    event = {
        "id": event_id,
        "customer": customer.slug,
        "requested_model": model,
        "model": model,
        "occurred_at": occurred_at.isoformat(),
        "dialect": "openai_chat",
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached},
        },
    }
    [result] = ingest_events(lines=[json.dumps(event).encode()], now=timezone.now(), actor=ACTOR)
    assert result.status is Status.ACCEPTED, result
    return result


def close_month(*, customer: Customer, month: BillingMonth, now: datetime | None = None) -> Invoice:
    """Close a customer's month as the close does, a day after it ended unless told otherwise."""
    at = now or month.end_at + timedelta(days=1)
    run = start_run(month=month, actor=ACTOR, now=at, customer=customer)
    item = close_customer(item_id=run.items.get(customer=customer).pk, actor=ACTOR, now=at)
    assert item is not None
    assert item.status == BillingRunItem.Status.DONE, item.reason
    assert item.invoice is not None
    return item.invoice


@dataclass(frozen=True)
class Company:
    """A customer with its owner, a key, an issued invoice of last month and USD 2 of usage in this one."""

    customer: Customer
    owner: User
    key: IssuedKey
    invoice: Invoice


def make_company(*, slug: str, name: str, brn: str) -> Company:
    """Needs the catalog, the seller and a rate at the end of last month."""
    customer = make_customer(slug=slug, name=name, brn=brn)
    owner = make_user(email=f"owner@{slug}.example", customers=(customer,))
    last = this_month().previous()
    make_usage(customer=customer, event_id="last", occurred_at=last.start_at + timedelta(days=13, hours=5))
    make_usage(customer=customer, event_id="now", occurred_at=this_month().start_at)
    key = create_api_key(customer=customer, name=f"{slug} production", actor=owner.email)
    return Company(customer, owner, key, close_month(customer=customer, month=last))


@dataclass(frozen=True)
class Cast:
    """Two customers that must never see each other, and an operator who is nobody's member."""

    acme: Company
    globex: Company
    mallory: User


def make_cast() -> Cast:
    make_catalog()
    make_seller()
    make_terms()
    make_rate(rate_on=this_month().previous().last_on)
    return Cast(
        acme=make_company(slug="acme", name="한빛 주식회사", brn="2208162517"),
        globex=make_company(slug="globex", name="글로벡스 주식회사", brn="1208147521"),
        mallory=make_user(email="mallory@operator.example", is_staff=True),
    )
