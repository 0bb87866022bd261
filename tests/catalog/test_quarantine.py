"""Prices that can't be read wait for a person; the rest of the listing goes on."""

import pytest

from accounts.errors import InvalidInput
from accounts.models import AuditEntry
from catalog.errors import PriceNotQuarantined
from catalog.models import Price
from catalog.services import resolve_quarantined_price
from tests.catalog.listings import JULY, JUNE, MAY, counts, entry, history, row_versions, sync, usd

pytestmark = pytest.mark.django_db

STRANGE = {**usd("0.000004"), "per_thought": "0.1"}


@pytest.mark.parametrize(
    ("pricing", "code", "named"),
    [
        (STRANGE, "unknown_price_key", "per_thought"),
        ({"prompt": "0.000003", "completion": "-0.5"}, "invalid_price", "completion"),
        ({"prompt": "NaN", "completion": "0"}, "invalid_price", "prompt"),
        ({"prompt": "1e-6", "completion": "0"}, "invalid_price", "prompt"),
        ({"prompt": "0.000003"}, "invalid_price", "completion"),
        (None, "invalid_price", "pricing"),
        (
            {**usd("0.000003"), "overrides": [{"utc_days": [1], "prompt": "0"}]},
            "unknown_condition",
            "utc_days",
        ),
    ],
)
def test_a_price_that_cannot_be_read_takes_nobody_down(pricing: dict | None, code: str, named: str) -> None:
    report = sync(entry("a/x", pricing=pricing), entry("a/y"))

    assert counts(report) == {"listed": 2, "created": 2}
    [(model_id, reported, reason)] = report.quarantined
    assert (model_id, reported) == ("a/x", code)
    assert named in reason
    price = Price.objects.get(model__model_id="a/x")
    assert (price.kind, price.components, price.overrides) == ("quarantined", {}, [])
    assert (price.quarantine_code, price.quarantine_reason) == (code, reason)
    assert history("a/y") == [("listed", MAY, None, usd("0.000003"))]
    assert not sync(entry("a/x", pricing=pricing), entry("a/y"), at=JUNE).changed


def test_the_old_price_ends_where_an_unreadable_one_begins() -> None:
    sync(entry("a/x"))

    report = sync(entry("a/x", pricing=STRANGE), at=JUNE)

    assert counts(report) == {"listed": 1, "price_changes": 1}
    assert history("a/x") == [("listed", MAY, JUNE, usd("0.000003")), ("quarantined", JUNE, None, {})]
    assert Price.objects.get(effective_to=None).listed_pricing == STRANGE


def test_the_same_unreadable_price_is_reported_again_and_not_written_again() -> None:
    first = sync(entry("a/x", pricing=STRANGE))
    before = row_versions()

    second = sync(entry("a/x", pricing=STRANGE), at=JUNE)

    assert not second.changed
    assert second.quarantined == first.quarantined
    assert row_versions() == before


def test_a_price_that_can_be_read_again_ends_the_quarantine() -> None:
    sync(entry("a/x", pricing=STRANGE))

    report = sync(entry("a/x", "0.000005"), at=JUNE)

    assert report.quarantined == ()
    assert history("a/x") == [("quarantined", MAY, JUNE, {}), ("listed", JUNE, None, usd("0.000005"))]


def test_an_operator_decides_what_a_price_means_and_the_next_sync_leaves_it() -> None:
    sync(entry("a/x", pricing=STRANGE))
    waiting = Price.objects.get()

    resolved = resolve_quarantined_price(
        price=waiting, components=usd("0.000004"), overrides=[], actor="kim", reason="per_thought is for research only"
    )

    assert (resolved.pk, resolved.kind, resolved.components) == (waiting.pk, "listed", usd("0.000004"))
    assert history("a/x") == [("listed", MAY, None, usd("0.000004"))]
    assert Price.objects.get().listed_pricing == STRANGE
    audit = AuditEntry.objects.get(action="resolve_quarantined_price")
    assert (audit.actor, audit.object_id, audit.reason) == (
        "kim",
        str(waiting.pk),
        "per_thought is for research only",
    )
    assert audit.data["quarantine"]["code"] == "unknown_price_key"
    report = sync(entry("a/x", pricing=STRANGE), at=JUNE)
    assert not report.changed
    assert report.quarantined == ()
    # Another price object is a new question.
    assert sync(entry("a/x", pricing={**STRANGE, "per_thought": "0.2"}), at=JULY).price_changes == 1


def test_an_ended_quarantine_can_still_be_resolved() -> None:
    sync(entry("a/x", pricing=STRANGE))
    sync(entry("a/x", "0.000005"), at=JUNE)

    resolve_quarantined_price(
        price=Price.objects.get(kind="quarantined"),
        components=usd("0.000004"),
        overrides=[],
        actor="kim",
        reason="asked",
    )

    assert history("a/x") == [("listed", MAY, JUNE, usd("0.000004")), ("listed", JUNE, None, usd("0.000005"))]


@pytest.mark.parametrize(
    ("components", "field"),
    [({"prompt": "0.1"}, "completion"), ({**usd("1"), "x": "1"}, "x"), (usd("-1"), "prompt"), (usd("１"), "prompt")],
)
def test_a_decision_has_to_be_a_price(components: dict[str, str], field: str) -> None:
    sync(entry("a/x", pricing=STRANGE))
    before = row_versions()

    with pytest.raises(InvalidInput) as refusal:
        resolve_quarantined_price(
            price=Price.objects.get(), components=components, overrides=[], actor="kim", reason="because"
        )

    assert refusal.value.field == field
    assert row_versions() == before


def test_a_decision_needs_a_reason_and_a_price_that_waits() -> None:
    sync(entry("a/x"))

    with pytest.raises(InvalidInput) as refusal:
        resolve_quarantined_price(price=Price.objects.get(), components=usd("1"), overrides=[], actor="kim", reason=" ")
    assert refusal.value.field == "reason"
    with pytest.raises(PriceNotQuarantined):
        resolve_quarantined_price(
            price=Price.objects.get(), components=usd("1"), overrides=[], actor="kim", reason="cheaper"
        )
    assert history("a/x") == [("listed", MAY, None, usd("0.000003"))]
