"""What an event may be priced on, summed beside our list cost: the upstream's charge, and the greater of both."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from tests.usage.factories import ACTOR, NOW, OCTOBER, close_period, customer, ingest, line, model, violations
from usage.models import UsageRollup
from usage.services.archiving import archive_month
from usage.services.replacing import exclude_priced_event
from usage.services.rerating import rate_quarantined
from usage.services.restoring import restore_month

#: 100 prompt and 3 completion tokens of the factories' model.
LIST = Decimal("0.000345")


def told(event_id: str, cost: str | None, **changes: object) -> bytes:
    """An event of list cost `LIST` for which the upstream names this charge, or none."""
    usage: dict[str, object] = {"prompt_tokens": 100, "completion_tokens": 3}
    if cost is not None:
        usage["cost"] = float(cost)
    return line(event_id, usage=usage, dialect="openrouter", **changes)


def bases() -> list[tuple[Decimal, Decimal, Decimal, Decimal]]:
    """Cost, upstream cost and the two bases of each rollup."""
    rows = UsageRollup.objects.order_by("day", "model_id")
    return [(row.cost_usd, row.upstream_cost_usd, row.upstream_basis_usd, row.higher_basis_usd) for row in rows]


@pytest.mark.django_db
def test_the_basis_is_chosen_event_by_event() -> None:
    customer()
    model()
    ingest(told("dearer", "0.0005"), told("cheaper", "0.0001"), told("unnamed", None), told("free", "0"))
    # One batch or several: the greater of two sums would be less than the sum of the greater ones.
    ingest(told("dearer again", "0.0005"))
    assert bases() == [
        (5 * LIST, Decimal("0.0011"), Decimal("0.0011") + LIST, 3 * LIST + 2 * Decimal("0.0005")),
    ]
    assert violations() == []


@pytest.mark.django_db
def test_what_is_priced_late_or_taken_back_moves_its_bases() -> None:
    owner = customer()
    model()
    ingest(told("a", "0.0005"), told("b", None), told("c", "0.5", model="x/new"), told("d", None, model="x/new"))
    model("x/new")
    rate_quarantined(actor=ACTOR, now=NOW)
    both = Decimal("0.0005") + LIST
    late = Decimal("0.5") + LIST
    assert bases() == [(2 * LIST, Decimal("0.0005"), both, both), (2 * LIST, Decimal("0.5"), late, late)]
    for event_id in ("a", "c"):
        exclude_priced_event(customer_id=owner.pk, event_id=event_id, reason="a test call", actor=ACTOR, now=NOW)
    assert bases() == [(LIST, 0, LIST, LIST)] * 2
    assert violations() == []


@pytest.mark.django_db(transaction=True)
def test_an_archive_keeps_them(tmp_path: Path) -> None:
    owner = customer()
    model()
    ingest(told("a", "0.0005"), told("b", "0.0001"))
    before = bases()
    close_period(owner, OCTOBER)
    archived = archive_month(month=OCTOBER, directory=tmp_path, actor=ACTOR, clock=lambda: NOW)
    [kept] = archived.manifest["customers"].values()
    assert Decimal(kept["sums"]["higher_basis_usd"]) == Decimal("0.0005") + LIST
    assert violations() == []
    UsageRollup.objects.update(higher_basis_usd=1)
    assert [text.rpartition(": ")[2] for text in violations()] == [
        "higher_basis_usd 1.0000000000000000000000000000 instead of 0.0008450000000000000000000000"
    ]
    UsageRollup.objects.update(higher_basis_usd=before[0][3])
    restore_month(directory=Path(archived.directory), actor=ACTOR, clock=lambda: NOW)
    assert (bases(), violations()) == (before, [])


class Bases(TestCase):
    """Any charges in any split into batches."""

    @settings(max_examples=15, deadline=None)
    @given(st.lists(st.lists(st.none() | st.integers(0, 900), min_size=1, max_size=4), min_size=1, max_size=3))
    def test_sums_are_those_of_the_events(self, batches: list[list[int | None]]) -> None:
        customer()
        model()
        charges = [None if one is None else Decimal(one).scaleb(-6) for batch in batches for one in batch]
        for number, batch in enumerate(batches):
            ingest(
                *(
                    told(f"{number}-{place}", None if one is None else f"{one / 1_000_000:.6f}")
                    for place, one in enumerate(batch)
                )
            )
        [row] = UsageRollup.objects.all()
        assert row.day == date(2026, 10, 5)
        assert row.cost_usd == len(charges) * LIST
        assert row.upstream_basis_usd == sum(LIST if one is None else one for one in charges)
        assert row.higher_basis_usd == sum(LIST if one is None else max(one, LIST) for one in charges)
        assert violations() == []
