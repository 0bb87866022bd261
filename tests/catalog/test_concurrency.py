"""Two syncs at once: one after the other, whatever the order, with no interval lost or doubled."""

import threading
from datetime import datetime

import pytest
from django.db import connection

from accounts.errors import DomainError
from catalog.models import CatalogSync, Model, Price
from catalog.services import SyncReport
from tests.catalog.listings import JUNE, MAY, entry, history, sync, usd

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*syncs: tuple[str, datetime]) -> list[SyncReport | DomainError]:
    """Run syncs of `a/x` (at a prompt price) and of twenty other models, each in a thread of its own."""
    barrier = threading.Barrier(len(syncs))
    outcomes: list[SyncReport | DomainError] = []

    def run(prompt: str, at: datetime) -> None:
        try:
            barrier.wait()
            entries = [entry(f"b/{number}") for number in range(20)]
            outcomes.append(sync(entry("a/x", prompt), *entries, at=at))
        except DomainError as refusal:
            outcomes.append(refusal)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=arguments) for arguments in syncs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == len(syncs)
    return outcomes


def test_the_same_listing_from_four_sides_comes_in_once() -> None:
    outcomes = at_once(*[("0.000003", MAY)] * 4)

    assert sorted(outcome.created for outcome in outcomes if isinstance(outcome, SyncReport)) == [0, 0, 0, 21]
    assert (Model.objects.count(), Price.objects.count(), CatalogSync.objects.count()) == (21, 21, 1)


def test_two_prices_of_two_instants_end_up_in_order_whoever_comes_first() -> None:
    outcomes = at_once(("0.000003", MAY), ("0.000002", JUNE))

    assert all(isinstance(outcome, SyncReport) for outcome in outcomes)
    assert history("a/x") == [("listed", MAY, JUNE, usd("0.000003")), ("listed", JUNE, None, usd("0.000002"))]


def test_two_prices_of_one_instant_leave_one_and_refuse_the_other() -> None:
    outcomes = at_once(("0.000003", MAY), ("0.000002", MAY))

    [refusal] = [outcome for outcome in outcomes if isinstance(outcome, DomainError)]
    assert refusal.code == "history_conflict"
    [(kind, since, until, components)] = history("a/x")
    assert (kind, since, until) == ("listed", MAY, None)
    assert components in (usd("0.000003"), usd("0.000002"))
    assert CatalogSync.objects.count() == 1
