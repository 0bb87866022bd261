"""What `make demo` does, step by step. Every step can be repeated: it finds what it did before and leaves it.

Only services and commands that everybody else uses; the demo has no way of its own to price, bill or send anything.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import transaction

from accounts.models import Customer, Membership, SellerProfile, TaxProfile, User
from accounts.services import add_seller_profile, add_tax_profile, create_api_key, create_customer
from billing.adapters.registry import tax_provider
from billing.audit import check_books
from billing.models import Delivery, Invoice, MarginRule, TaxInvoice
from billing.selectors.exchange import newest_rate_for
from billing.selectors.runs import invoice_dict
from billing.selectors.tax_records import tax_invoice_dict
from billing.services.delivering import deliver_due, issue_tax_invoice_late, message_id_of
from billing.services.exchange import set_rate
from billing.services.margins import set_margin
from billing.services.printing import ensure_invoice_pdf
from catalog.services import sync_catalog
from config.sample_month import sample_events
from usage.periods import KST, BillingMonth
from usage.services.ingesting import ingest_events

ACTOR = "make demo"
SAMPLES = Path(settings.BASE_DIR) / "samples"
#: The sample catalog's prices and the sample contracts hold from here on, so that any past month can be metered.
BEGINNING = datetime(2025, 1, 1, tzinfo=KST)
MARGIN = Decimal("0.15")
BATCH_EVENTS = 1000
SATURDAY = 5
DELIVERY_PATIENCE_SECONDS = 120

Say = Callable[[str], None]


def load_samples(say: Say, *, now: datetime, month: BillingMonth) -> list[dict[str, Any]]:
    """Catalog, seller, customers, their users, default margin and a made-up exchange rate for each business day."""
    sample = json.loads((SAMPLES / "customers.json").read_bytes())
    listing = SAMPLES / "catalog.json"
    report = sync_catalog(body=listing.read_bytes(), source="samples/catalog.json", at=BEGINNING, actor=ACTOR, now=now)
    call_command("set_router_targets", as_json=True, stdout=io.StringIO())
    say(f"catalog: {report.listed} models, {report.created} new")
    if not SellerProfile.objects.exists():
        add_seller_profile(valid_from=BEGINNING.date(), actor=ACTOR, **sample["seller"])
    if not MarginRule.objects.filter(customer=None).exists():
        set_margin(customer=None, margin=MARGIN, effective_from=BEGINNING.date(), actor=ACTOR)
    for entry in sample["customers"]:
        _load_customer(entry)
    days = list(_business_days(month.previous().last_on - timedelta(days=14), now.astimezone(KST).date()))
    for day in days:
        if newest_rate_for(day) is None:
            set_rate(rate_on=day, rate=_sample_rate(day), source="견본 환율", reason="sample", actor=ACTOR, now=now)
    say(f"{len(sample['customers'])} customers, margin {MARGIN}, {len(days)} made-up exchange rates")
    return list(sample["customers"])


def meter(say: Say, customers: list[dict[str, Any]], *, month: BillingMonth, now: datetime) -> None:
    """The closed month's usage and the running month's up to yesterday, through the service that the API uses."""
    today = now.astimezone(KST).date()
    for entry in customers:
        lines = _chain(sample_events(entry, month, until=today), sample_events(entry, month.next(), until=today))
        accepted = known = 0
        while batch := list(islice(lines, BATCH_EVENTS)):
            results = ingest_events(lines=batch, now=now, actor=ACTOR)
            accepted += sum(result.status == "accepted" for result in results)
            known += sum(result.status == "duplicate" for result in results)
        say(f"{entry['slug']}: {accepted} events metered, {known} known already")


def close(month: BillingMonth) -> dict[str, Any]:
    """Close the month with the very command an operator uses."""
    output = io.StringIO()
    call_command("close_month", str(month), as_json=True, stdout=output)
    return dict(json.loads(output.getvalue()))


def check() -> dict[str, Any]:
    """What `check_books` finds."""
    results = check_books()
    return {"ok": not any(result.violations for result in results)}


def deliver(say: Say, *, clock: Callable[[], datetime]) -> None:
    """Wait until PDFs, mails and tax invoices are out, working along with the worker."""
    deadline = time.monotonic() + DELIVERY_PATIENCE_SECONDS
    told = -1
    while (left := _due(clock())) and time.monotonic() < deadline:
        if left != told:
            told = left
            say(f"{left} deliveries to go")
        deliver_due(now=clock(), limit=10)
        time.sleep(0.1)
    failed = Delivery.objects.filter(status=Delivery.Status.PENDING).exclude(last_error="")
    for delivery in failed:
        say(f"{delivery}: {delivery.last_error}; a worker tries again at {delivery.next_attempt_at:%H:%M} UTC")
    _issue_late(say, clock=clock)


def _issue_late(say: Say, *, clock: Callable[[], datetime]) -> None:
    """After the 10th a tax invoice needs somebody's word; in the demo that somebody is the demo."""
    late = Delivery.objects.filter(
        kind=Delivery.Kind.TAX_INVOICE,
        status=Delivery.Status.DEAD,
        invoice__tax_invoice__status=TaxInvoice.Status.QUEUED,
    )
    for delivery in late.select_related("invoice__tax_invoice", "invoice__customer"):
        assert delivery.invoice is not None  # only an invoice has a tax invoice
        deadline_on = delivery.invoice.tax_invoice.deadline_on
        if deadline_on is not None and deadline_on < clock().astimezone(KST).date():
            issue_tax_invoice_late(
                delivery=delivery,
                actor=ACTOR,
                reason="견본 시연: 발급 기한이 지난 달을 마감함",
                now=clock(),
                provider=tax_provider(),
            )
            say(f"{delivery.invoice.number}: tax invoice issued after its deadline, on the demo's own word")


def export(folder: Path, *, month: BillingMonth, now: datetime) -> dict[str, Any]:
    """One PDF an invoice, one .eml a mail, one JSON a tax invoice, and summary.json, under `folder`."""
    rows = []
    invoices = Invoice.objects.filter(month=month.first_on).exclude(status=Invoice.Status.VOID)
    for invoice in invoices.select_related("customer", "tax_invoice").order_by("number"):
        pdf = ensure_invoice_pdf(invoice=invoice, now=now)
        _write(folder / f"{invoice.number}.pdf", bytes(pdf.content))
        tax_record = tax_invoice_dict(invoice.tax_invoice)
        _write(folder / f"{invoice.number}.tax-invoice.json", _json(tax_record))
        mails = []
        for delivery in invoice.deliveries.filter(kind=Delivery.Kind.INVOICE_EMAIL, status=Delivery.Status.DONE):
            sent = Path(settings.MAIL_DIR) / f"{message_id_of(delivery).strip('<>')}.eml"
            if sent.exists():
                mails.append(f"{invoice.number}.{delivery.recipient}.eml")
                _write(folder / mails[-1], sent.read_bytes())
        files = {
            "pdf": f"{invoice.number}.pdf",
            "mails": sorted(mails),
            "tax_invoice": f"{invoice.number}.tax-invoice.json",
        }
        rows.append({**invoice_dict(invoice), "tax_invoice": tax_record, "files": files})
    summary = {"month": str(month), "invoices": rows}
    _write(folder / "summary.json", _json(summary))
    return summary


@transaction.atomic
def grant_access(folder: Path, customers: list[dict[str, Any]]) -> dict[str, Any]:
    """Logins and keys for trying things out, kept in access.json (0600) because keys are shown only once.

    Without that file new ones are made: a key can't be read back out of the database.
    """
    path = folder / "access.json"
    if path.exists():
        return dict(json.loads(path.read_bytes()))
    password = secrets.token_urlsafe(9)
    operator, _created = User.objects.get_or_create(email="operator@jeongsan.example", defaults={"name": "운영자"})
    operator.is_staff = operator.is_superuser = True
    access: dict[str, Any] = {"password": password, "operator": operator.email, "users": {}, "keys": {}}
    people = [operator]
    for entry in customers:
        customer = Customer.objects.get(slug=entry["slug"])
        user = User.objects.get(email=entry["user"]["email"])
        people.append(user)
        access["users"][customer.slug] = user.email
        access["keys"][customer.slug] = create_api_key(customer=customer, name="demo", actor=ACTOR).secret
    access["keys"]["ingest"] = create_api_key(customer=None, name="demo ingest", actor=ACTOR).secret
    for person in people:
        person.set_password(password)
        person.save()
    _write(path, _json(access), mode=0o600)
    return access


def _due(now: datetime) -> int:
    return Delivery.objects.filter(status=Delivery.Status.PENDING, next_attempt_at__lte=now).count()


def _load_customer(entry: dict[str, Any]) -> None:
    customer = Customer.objects.filter(slug=entry["slug"]).first()
    if customer is None:
        policy = dict(entry["policy"])
        if "fixed_rate_krw_per_usd" in policy:
            policy["fixed_rate_krw_per_usd"] = Decimal(policy["fixed_rate_krw_per_usd"])
        customer = create_customer(slug=entry["slug"], name=entry["name"], actor=ACTOR, **policy)
    if not TaxProfile.objects.filter(customer=customer).exists():
        add_tax_profile(customer=customer, valid_from=BEGINNING.date(), actor=ACTOR, **entry["tax_profile"])
    user, created = User.objects.get_or_create(email=entry["user"]["email"], defaults={"name": entry["user"]["name"]})
    if created:
        user.set_unusable_password()
        user.save()
    Membership.objects.get_or_create(user=user, customer=customer, defaults={"role": Membership.Role.OWNER})


def _business_days(first: date, last: date) -> Iterator[date]:
    for offset in range((last - first).days + 1):
        day = first + timedelta(days=offset)
        if day.weekday() < SATURDAY:
            yield day


def _sample_rate(day: date) -> Decimal:
    """A made-up rate around 1,400 that is the same for the same day."""
    return Decimal(1400) + Decimal((day.toordinal() * 37) % 401 - 200) / Decimal(10)


def _chain(*parts: Iterator[bytes]) -> Iterator[bytes]:
    for part in parts:
        yield from part


def _json(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()


def _write(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Whole or not at all: whoever kills the demo finds either the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.touch(mode=mode)
    partial.write_bytes(content)
    partial.rename(path)
