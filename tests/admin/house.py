"""A whole month for the operators' pages, made through the services: at least one row of everything that is registered.

October 2026: gaon is invoiced at USD 1,000 (1,647,059 + 164,706 = 1,811,765 won), naru has no tax profile and is parked.
November: one event of gaon waits for a decision about the price of `acme/odd`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from django.contrib.auth.models import Group, Permission

from accounts.models import Customer, Membership, User
from accounts.services import IssuedKey, create_api_key
from billing.adapters.tax_sandbox import Behaviour, SandboxProvider
from billing.models import Alert, BillingRun, HolidayOverride, Invoice, InvoicePdf
from billing.services.alerting import raise_alert
from billing.services.taxing import send_tax_invoice
from catalog.models import Model, Price, PriceChange
from catalog.services import add_alias, sync_catalog
from tests.billing.factories import ACTOR
from tests.billing.month import DOLLAR, NOW, close, listing, open_house, tenant, use
from usage.models import QuarantinedEvent, UsageArchive
from usage.periods import BillingMonth
from usage.services.replacing import exclude_priced_event
from usage.services.rerating import rate_quarantined

PASSWORD = "correct horse battery"
ODD_SINCE = datetime(2026, 10, 20, tzinfo=UTC)
IN_NOVEMBER = "2026-11-01T12:00:00+09:00"
#: USD 0.000002 and 0.00001 a token, and a key that nobody knows.
ODD_PRICING = {"prompt": "0.000002", "completion": "0.00001", "warp": "0.1"}


@dataclass(frozen=True)
class House:
    """What the tests point at."""

    root: User
    gaon: Customer
    naru: Customer
    key: IssuedKey
    run: BillingRun
    invoice: Invoice
    quarantined: QuarantinedEvent
    odd_price: Price


def make_root() -> User:
    """A superuser."""
    return User.objects.create_superuser("root@jeongsan.example", PASSWORD, name="운영자")


def make_staff(email: str = "staff@jeongsan.example", *permissions: str) -> User:
    """An operator with exactly these permissions ("accounts.view_customer")."""
    user = User.objects.create_user(email, PASSWORD, is_staff=True)
    for permission in permissions:
        app, _, codename = permission.partition(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    return user


def sync_odd_model() -> Price:
    """A later listing that also has `acme/odd`, whose price can't be read; the quarantined price."""
    body: dict[str, Any] = json.loads(
        listing(dollar="0.000001", cent="0.00000001", free="0", router="-1", odd="0.000002")
    )
    body["data"][-1]["pricing"] = ODD_PRICING
    sync_catalog(body=json.dumps(body).encode(), source="test 2", at=ODD_SINCE, actor=ACTOR, now=NOW)
    return Price.objects.get(model__model_id="acme/odd")


def record_change(price: Price) -> PriceChange:
    """A change of that price that was superseded before anybody decided about it."""
    return PriceChange.objects.create(
        model=price.model,
        status=PriceChange.Status.SUPERSEDED,
        before=price,
        kind=Price.Kind.LISTED,
        components={"prompt": "0.00000125", "completion": "0"},
        percents={"prompt": "25", "completion": None},
        percent="25",
        effective_at=ODD_SINCE,
        source="test 2",
        created_by=ACTOR,
    )


def make_house() -> House:
    """Everything once."""
    open_house()
    odd_price = sync_odd_model()
    record_change(Price.objects.get(model__model_id="acme/dollar"))
    raise_alert(
        kind=Alert.Kind.NEGATIVE_MARGIN, subject="2026-10 acme/dollar", detail={"margin_percent": "-2"}, now=NOW
    )
    add_alias(alias="dollar-latest", model=Model.objects.get(model_id="acme/dollar"), actor=ACTOR)
    gaon, naru = tenant("gaon"), tenant("naru", profile=False)
    member = User.objects.create_user("owner@gaon.example", PASSWORD)
    Membership.objects.create(user=member, customer=gaon, role=Membership.Role.OWNER)
    Group.objects.create(name="회계")
    key = create_api_key(customer=gaon, name="production", actor=ACTOR)
    use(gaon, 1000 * DOLLAR)
    use(naru, DOLLAR)
    use(gaon, DOLLAR, model="acme/odd", at=IN_NOVEMBER, event_id="odd-1")
    use(naru, DOLLAR, at="2026-08-05T12:00:00+09:00", event_id="taken-back")
    exclude_priced_event(customer_id=naru.pk, event_id="taken-back", reason="a test call", actor=ACTOR, now=NOW)
    rate_quarantined(actor=ACTOR, now=NOW)
    march = BillingMonth(2026, 3)
    UsageArchive.objects.create(
        month=march.first_on, start_at=march.start_at, end_at=march.end_at, status=UsageArchive.Status.RESTORED,
        directory="/archive/usage-2026-03-1", started_at=NOW, archived_at=NOW, restored_at=NOW, actor=ACTOR,
    )  # fmt: skip
    HolidayOverride.objects.create(day=date(2027, 6, 1), note="임시공휴일")
    run = close()
    invoice = Invoice.objects.get(customer=gaon)
    provider = SandboxProvider(Behaviour.ACCEPT, clock=lambda: NOW)
    send_tax_invoice(tax_invoice=invoice.tax_invoice, provider=provider, now=NOW)
    InvoicePdf.objects.create(invoice=invoice, content=b"%PDF-1.7 stands for the file", sha256="0" * 64)
    return House(make_root(), gaon, naru, key, run, invoice, QuarantinedEvent.objects.get(event_id="odd-1"), odd_price)
