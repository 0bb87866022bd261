"""A whole month for the operators' pages, made through the services: at least one row of everything that is registered.

October 2026: gaon is invoiced at USD 1,000 (1,647,059 + 164,706 = 1,811,765 won), naru has no tax profile and is parked.
November: one event of gaon waits for a decision about the price of `acme/odd`.
"""

from __future__ import annotations

import json
import smtplib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import Group, Permission

from accounts.models import ApiKey, Customer, Membership, User
from accounts.services import IssuedKey, claim_form, create_api_key
from billing.adapters.tax_sandbox import Behaviour, SandboxProvider
from billing.models import Alert, BillingRun, CreditNote, CreditNotePdf, HolidayOverride, Invoice, InvoicePdf
from billing.services.alerting import raise_alert
from billing.services.allocating import reverse_allocation, write_off_invoice
from billing.services.bouncing import note_refusal
from billing.services.correcting import propose_correction
from billing.services.costing import accrue_upstream_cost, record_upstream_payment
from billing.services.crediting import issue_credit_note
from billing.services.discounting import add_discount
from billing.services.granting import grant_credit, void_credit
from billing.services.minimums import set_minimum
from billing.services.paying import assign_payment, record_payment, reverse_payment
from billing.services.prepaying import refund_prepayment, set_aside, withdraw_prepayment
from billing.services.taxing import send_tax_invoice
from billing.services.topping_up import request_top_ups, set_top_up
from billing.services.zero_rating import record_zero_rating
from catalog.models import Model, Price, PriceChange
from catalog.services import add_alias, sync_catalog
from gateway.calls import Admission, Attempt, Caller
from gateway.services.admitting import admit_calls
from gateway.services.settling import settle_calls
from gateway.services.upstreams import set_upstream, set_upstream_key
from tests.billing.factories import ACTOR
from tests.billing.month import DOLLAR, NOW, OCTOBER, close, listing, open_house, tenant, use
from tests.gateway.money import forget, outcome, request
from usage.models import QuarantinedEvent, UsageApp, UsageArchive
from usage.periods import BillingMonth
from usage.services.activity import import_activity
from usage.services.reconciling import import_statement
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


def import_upstream_lists(customer: Customer) -> None:
    """A day in July that nobody sent, and a statement by generation and one by day."""
    day = {"date": "2026-07-05", "model": "acme/dollar", "requests": 2, "prompt_tokens": 10, "completion_tokens": 0}
    charge = {"id": "gen-1", "created_at": "2026-10-15T03:00:00Z", "model": "acme/dollar", "cost": "0.5"}
    rows = [(1, {**day, "usage": "0.00001"})]
    import_activity(rows=rows, customer=customer, source="activity.csv", actor=ACTOR, now=NOW)
    import_statement(rows=rows, source="activity.csv", actor=ACTOR, now=NOW)
    import_statement(rows=[(1, charge)], source="generations.csv", actor=ACTOR, now=NOW)


def move_money(customer: Customer) -> None:
    """One row of every kind of money: deposits, a prepayment, free credit that has ended, dollars paid upstream."""
    now = datetime(2026, 10, 2, tzinfo=UTC)
    deposits = [
        record_payment(
            reference=f"bank-{number}", received_at=now, amount_krw=30_000, depositor_name="가온", actor=ACTOR, now=now
        )
        for number in range(3)
    ]
    assign_payment(payment=deposits[0], customer=customer, reason="전화 확인", actor=ACTOR, now=now)
    deposits[0].refresh_from_db()
    prepayment = set_aside(payment=deposits[0], amount_krw=20_000, actor=ACTOR, now=now)
    withdraw_prepayment(prepayment=prepayment, amount_krw=1_000, reason="x", actor=ACTOR, now=now)
    refund_prepayment(
        prepayment=prepayment, amount_krw=19_000, reference="out-1", refunded_at=now, reason="x", actor=ACTOR
    )
    reverse_payment(payment=deposits[1], reason="반환", actor=ACTOR, now=now)
    add_discount(
        customer=customer, name="약정 할인", share=Decimal("0.1"), effective_from=date(2026, 12, 1), reason="x", actor=ACTOR,
        now=now,
    )  # fmt: skip
    set_minimum(
        customer=customer, amount_krw=100_000, effective_from=date(2026, 12, 16), reason="x", actor=ACTOR, now=now
    )
    record_zero_rating(
        customer=customer, article="부가가치세법 제24조", reference="외화입금증명서", sha256="0" * 64, accepted_by="세무사",
        effective_from=date(2026, 12, 1), reason="x", actor=ACTOR, now=now,
    )  # fmt: skip
    credit = grant_credit(
        customer=customer,
        name="첫 달 무료",
        amount_krw=10_000,
        valid_from=date(2026, 9, 1),
        expires_on=date(2026, 9, 30),
        reason="x",
        actor=ACTOR,
        now=now,
    )
    void_credit(credit=credit, amount_krw=1_000, reason="x", actor=ACTOR, now=now)
    set_top_up(customer=customer, threshold_krw=100_000, amount_krw=500_000, actor=ACTOR, now=now)
    request_top_ups(now=now)
    record_upstream_payment(
        reference="wire-1",
        payee="OpenRouter",
        paid_at=now,
        amount_usd=Decimal("100"),
        amount_krw=141_000,
        actor=ACTOR,
        now=now,
    )


def forward_calls(customer: Customer, key: IssuedKey) -> None:
    """An upstream with a key, a call that failed at two attempts, and one that is under way."""
    forget()
    upstream = set_upstream(
        name="local", base_url="https://upstream.example/v1", dialect="openrouter", actor=ACTOR, now=NOW
    )
    secret = set_upstream_key(upstream=upstream, secret="sk-upstream-canary-1234", actor=ACTOR, now=NOW)
    ApiKey.objects.filter(pk=key.key.pk).update(rpm_limit=60)
    caller = Caller(customer.pk, customer.slug, key.key.pk, key.key.prefix)
    asked = [request(caller, model="acme/dollar", started_at=NOW) for _ in range(2)]
    for answer in admit_calls(asked, now=NOW):
        assert isinstance(answer, Admission), answer
    attempts = [
        Attempt(upstream.pk, secret.pk, 1, NOW, status=429),
        Attempt(upstream.pk, secret.pk, 2, NOW, status=200),
    ]
    failed = outcome(asked[0], ending="failed", usage=None, answered_bytes=0, attempts=attempts)
    settle_calls([failed], now=NOW)


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
    forward_calls(gaon, key)
    import_upstream_lists(naru)
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
    move_money(gaon)
    UsageApp.objects.create(customer=gaon, referer="https://desk.example", title="Help desk")
    HolidayOverride.objects.create(day=date(2027, 6, 1), note="임시공휴일")
    run = close()
    invoice = Invoice.objects.get(customer=gaon)
    made = write_off_invoice(invoice=invoice, amount_krw=1, reason="x", actor=ACTOR, now=NOW)
    reverse_allocation(allocation=made, reason="x", actor=ACTOR, now=NOW)
    accrue_upstream_cost(month=OCTOBER, actor=ACTOR, now=NOW)
    provider = SandboxProvider(Behaviour.ACCEPT, clock=lambda: NOW)
    send_tax_invoice(tax_invoice=invoice.tax_invoice, provider=provider, now=NOW)
    # One won of line 1 with its VAT of none: 1,647,058 leaves the same VAT.
    issue_credit_note(invoice=invoice, amounts_krw={1: 1}, amendment_code="01", reason="test", actor=ACTOR, now=NOW)
    propose_correction(
        price=Price.objects.get(model__model_id="acme/dollar"),
        components={"prompt": "0.000001", "completion": "0"},
        reason="test",
        actor=ACTOR,
        now=NOW,
    )
    claim_form(token=uuid4(), actor=ACTOR, now=NOW)
    note = CreditNote.objects.get()
    CreditNotePdf.objects.create(credit_note=note, content=b"%PDF-1.7 stands for the file", sha256="0" * 64)
    refusal = smtplib.SMTPRecipientsRefused({"x": (550, b"5.1.1 no such user")})
    note_refusal(delivery=note.deliveries.get(), refusal=refusal, now=NOW)
    InvoicePdf.objects.create(invoice=invoice, content=b"%PDF-1.7 stands for the file", sha256="0" * 64)
    return House(make_root(), gaon, naru, key, run, invoice, QuarantinedEvent.objects.get(event_id="odd-1"), odd_price)
