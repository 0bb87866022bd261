"""Deciding about events that had no price."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from accounts.models import AuditEntry
from accounts.selectors import customer_by_slug
from tests.billing.commands import run
from tests.usage.factories import ACTOR, LONG_AGO, NOW, OCTOBER, customer, ingest, line, model, violations
from usage.admin.reading import REASONS
from usage.errors import AlreadyResolved, ReasonMissing
from usage.models import QuarantinedEvent, UsageEvent, UsageRollup
from usage.selectors import month_lines, open_quarantine, quarantined_event
from usage.services import rating
from usage.services.quarantine import exclude_quarantined
from usage.services.rerating import rate_quarantined

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(hours=1)
NEW = "x/new"


@pytest.fixture(autouse=True)
def _held() -> None:
    customer()
    customer("gaon")
    model()
    ingest(
        line("a", model=NEW),
        line("b", model=NEW, dialect="openrouter", usage={"prompt_tokens": 10, "completion_tokens": 1, "cost": 0.5}),
        line("c", model="x/unheard"),
        line("d", model=NEW, customer="gaon"),
        line("e"),
    )


def test_events_are_priced_once_their_model_has_a_price() -> None:
    hanbit = customer_by_slug("hanbit")
    nothing = rate_quarantined(actor=ACTOR, now=LATER)
    assert (nothing.examined, nothing.rated, nothing.cost_usd) == (4, 0, 0)
    price = model(NEW, {"prompt": "0.00001", "completion": "0.0001"})

    done = rate_quarantined(actor="minji", now=LATER)

    # 100 x 0.00001 + 3 x 0.0001, twice; 10 x 0.00001 + 1 x 0.0001
    assert (done.examined, done.rated, done.cost_usd) == (4, 3, Decimal("0.0028"))
    held = quarantined_event(hanbit, "a")
    assert (held.status, held.model_id, held.price_id, held.cost_usd) == (
        "rated",
        price.model_id,
        price.pk,
        Decimal("0.0013"),
    )
    assert (held.resolved_at, held.resolved_by, held.resolution) == (LATER, "minji", "the model has a price")
    assert UsageEvent.objects.get(event_id="a").cost_usd is None  # the event stays as it arrived
    rollup = UsageRollup.objects.get(customer=hanbit, price_id=price.pk)
    assert (rollup.requests, rollup.prompt_tokens, rollup.completion_tokens) == (2, 110, 4)
    assert (rollup.cost_usd, rollup.upstream_cost_usd) == (Decimal("0.0015"), Decimal("0.5"))
    assert (rollup.day, rollup.billing_month) == (date(2026, 10, 5), date(2026, 10, 1))
    assert [entry.model_id for entry in month_lines(hanbit, OCTOBER)] == ["anthropic/claude-sonnet-4.5", NEW]
    assert [left.event_id for left in open_quarantine(hanbit, OCTOBER)] == ["c"]
    audits = AuditEntry.objects.filter(action="rate_quarantined_events").order_by("object_id")
    assert [(entry.actor, entry.data) for entry in audits] == [
        ("minji", {"events": 2, "cost_usd": "0.0015"}),
        ("minji", {"events": 1, "cost_usd": "0.0013"}),
    ]
    assert violations() == []

    again = rate_quarantined(actor="minji", now=LATER)
    assert (again.examined, again.rated) == (1, 0)
    assert UsageRollup.objects.get(customer=hanbit, price_id=price.pk).requests == 2


def test_one_customer_alone_can_be_priced() -> None:
    model(NEW)
    done = rate_quarantined(actor=ACTOR, now=LATER, customer=customer_by_slug("gaon"))
    assert (done.examined, done.rated) == (1, 1)
    assert QuarantinedEvent.objects.filter(status="open").count() == 3


def test_a_quarantined_price_that_was_read_after_all_prices_its_events() -> None:
    price = model("x/odd", kind="quarantined", quarantine_code="unknown_price_key", quarantine_reason="x")
    ingest(line("odd", model="x/odd"))
    price.kind, price.quarantine_code, price.quarantine_reason = "listed", "", ""
    price.components = {"prompt": "0.00001", "completion": "0"}
    price.save()
    assert rate_quarantined(actor=ACTOR, now=LATER).rated == 1
    assert quarantined_event(customer_by_slug("hanbit"), "odd").cost_usd == Decimal("0.001")
    assert violations() == []


def test_a_price_that_came_too_late_prices_nothing() -> None:
    model(NEW, at=NOW)
    assert rate_quarantined(actor=ACTOR, now=LATER).rated == 0
    assert LONG_AGO < NOW


def test_many_events_are_priced_chunk_by_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage.services.rerating.CHUNK_EVENTS", 7)
    ingest(*(line(f"n{number}", model=NEW, customer=("hanbit", "gaon")[number % 2]) for number in range(40)))
    model(NEW)
    done = rate_quarantined(actor=ACTOR, now=LATER)
    assert (done.examined, done.rated) == (44, 43)
    assert violations() == []


def test_excluding_needs_a_reason_and_happens_once() -> None:
    held = quarantined_event(customer_by_slug("hanbit"), "c")
    with pytest.raises(ReasonMissing):
        exclude_quarantined(event=held, actor="minji", reason="  ", now=LATER)
    with pytest.raises(ReasonMissing):
        exclude_quarantined(event=held, actor="minji", reason="x" * 501, now=LATER)
    done = exclude_quarantined(event=held, actor="minji", reason=" a test call ", now=LATER)
    assert (done.status, done.resolution, done.resolved_by, done.resolved_at) == (
        "excluded",
        "a test call",
        "minji",
        LATER,
    )
    with pytest.raises(AlreadyResolved):
        exclude_quarantined(event=held, actor="minji", reason="again", now=LATER)
    audit = AuditEntry.objects.get(action="exclude_quarantined_event")
    assert (audit.actor, audit.reason, audit.data["event_id"]) == ("minji", "a test call", "c")
    model("x/unheard")
    assert rate_quarantined(actor=ACTOR, now=LATER).rated == 0  # decided is decided
    assert violations() == []


def test_the_commands_say_what_they_did() -> None:
    model(NEW)
    assert run("rate_quarantine", "--customer", "gaon") == (0, {"rated": 1, "still_open": 0, "cost_usd": "0.000345"})
    assert run("rate_quarantine") == (0, {"rated": 2, "still_open": 1, "cost_usd": "0.00039"})
    assert run("exclude_event", "hanbit", "c", "--reason", "test call") == (
        0,
        {"customer": "hanbit", "event_id": "c", "status": "excluded", "reason": "test call"},
    )
    code, answer = run("exclude_event", "hanbit", "c", "--reason", "x")
    assert (code, answer["error"]["code"]) == (2, "already_resolved")
    code, answer = run("exclude_event", "hanbit", "zzz", "--reason", "x")
    assert (code, answer["error"]["code"], answer["error"]["field"]) == (2, "unknown_event", "event_id")
    code, answer = run("rate_quarantine", "--customer", "nobody")
    assert (code, answer["error"]["code"]) == (2, "not_found")


def test_every_reason_why_an_event_waits_is_said_in_words() -> None:
    """The list's filter offers these and no others."""
    codes = {value for name, value in vars(rating).items() if name.isupper() and isinstance(value, str)}
    assert set(REASONS) == codes
