"""What the sender of an event has seen and no usage object says: it was estimated, or it ended without an answer."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.usage.factories import customer, ingest, line, model, violations
from usage.dialects import Flag
from usage.events import DECLARED_FLAGS
from usage.models import UsageEvent, UsageRollup

pytestmark = pytest.mark.django_db


def test_an_estimate_is_priced_like_any_event_and_says_that_it_is_one() -> None:
    customer()
    model()
    ingest(line(flags=["estimated"]))
    event = UsageEvent.objects.get()
    assert (event.cost_usd, event.flags) == (Decimal("0.000345"), ["estimated"])


def test_an_answer_without_completion_counts_its_tokens_and_costs_nothing() -> None:
    customer()
    price = model()
    usage = {"prompt_tokens": 100, "completion_tokens": 0, "total_tokens": 100, "cost": 0.0003}
    ingest(line(flags=["zero_completion"], usage=usage, dialect="openrouter"))
    event = UsageEvent.objects.get()
    assert (event.cost_usd, event.price_id, event.prompt_tokens) == (0, price.pk, 100)
    rollup = UsageRollup.objects.get()
    # What the upstream charged stays on the books: it is our loss, and the margin report shows it.
    assert (rollup.requests, rollup.prompt_tokens, rollup.cost_usd) == (1, 100, 0)
    assert rollup.upstream_cost_usd == Decimal("0.0003")
    assert violations() == []


def test_a_flag_changes_what_an_event_says() -> None:
    customer()
    model()
    answers = ingest(line(), line(flags=["zero_completion"]), line(flags=[]), line(flags=None))
    assert [answer.status.value for answer in answers] == ["accepted", "conflict", "duplicate", "duplicate"]


@pytest.mark.parametrize("flags", ["estimated", ["total_mismatch"], [1], {"estimated": True}, [["estimated"]]])
def test_other_flags_cannot_be_declared(flags: object) -> None:
    customer()
    model()
    (answer,) = ingest(line(flags=flags))
    assert (answer.status.value, answer.field) == ("rejected", "flags")


def test_what_can_be_declared_is_a_flag() -> None:
    assert set(DECLARED_FLAGS) == {Flag.ESTIMATED, Flag.ZERO_COMPLETION}
