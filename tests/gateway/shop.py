"""What a gateway needs before the first call: models and prices, a margin, upstreams, customers with keys."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from accounts.models import ApiKey, Customer
from accounts.services import create_api_key, create_customer
from billing.services.margins import set_margin
from billing.services.spending import set_credit_terms
from catalog.services import sync_catalog
from gateway.models import Upstream
from gateway.services.upstreams import set_upstream, set_upstream_key

ACTOR = "tests"
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
_numbers = count(1)


def open_shop() -> None:
    """The sample catalog, its router's targets, a margin of 15 %."""
    listing = settings.BASE_DIR / "samples" / "catalog.json"
    sync_catalog(body=listing.read_bytes(), source="tests", at=LONG_AGO, actor=ACTOR, now=timezone.now())
    call_command("set_router_targets", as_json=True, stdout=open("/dev/null", "w"))  # noqa: SIM115
    set_margin(customer=None, margin=Decimal("0.15"), effective_from=LONG_AGO.date(), actor=ACTOR)


def new_customer(**policy: Any) -> tuple[Customer, str]:
    """A customer that is billed at 1,400 won a dollar, and a key of it."""
    customer = create_customer(
        slug=f"caller-{next(_numbers)}",
        name="Caller",
        actor=ACTOR,
        **({"exchange_rule": "fixed", "fixed_rate_krw_per_usd": Decimal(1400)} | policy),
    )
    return customer, create_api_key(customer=customer, name="test", actor=ACTOR).secret


def set_limits(customer: Customer, **limits: Any) -> None:
    """Terms of the customer (`credit_limit_krw`) or limits of its only key (`rpm_limit`, ...)."""
    if "credit_limit_krw" in limits:
        set_credit_terms(
            customer=customer,
            credit_limit_krw=limits.pop("credit_limit_krw"),
            is_prepaid=False,
            reason="a test",
            actor=ACTOR,
            now=timezone.now(),
        )
    if limits:
        ApiKey.objects.filter(customer=customer).update(**limits)


def add_upstream(name: str, base_url: str, secret: str, *, dialect: str = "openrouter", **terms: Any) -> Upstream:
    """An upstream on this machine with one key."""
    now = timezone.now()
    upstream = set_upstream(
        name=name, base_url=base_url, dialect=dialect, actor=ACTOR, now=now, allow_loopback=True, **terms
    )
    set_upstream_key(upstream=upstream, secret=secret, actor=ACTOR, now=now)
    return upstream
