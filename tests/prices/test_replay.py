"""The prices of three years are played in, and what was quoted for the past does not move."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from accounts.errors import DomainError
from accounts.models import AuditEntry
from billing.selectors.quotes import quote
from catalog.models import CatalogSync, Model, Price, PriceChange
from catalog.selectors import find_model, load_catalog, price_history
from catalog.services import add_alias, replay_prices, sync_catalog
from tests.billing.commands import run
from tests.catalog.listings import MAY, NOW, entry, history, row_versions, sync
from tests.prices.histories import (
    REAL,
    Snapshots,
    as_listing,
    day,
    history_file,
    per_token,
    real_snapshots,
    replay,
    won_of,
)
from tests.shared import shared_data

pytestmark = pytest.mark.django_db

#: Listed in each of the last thirteen snapshots, with how often their price moved between them.
WATCHED = {
    "google/gemma-3-27b-it": 8,
    "openai/gpt-oss-20b": 8,
    "qwen/qwen3-235b-a22b-2507": 6,
    "deepseek/deepseek-chat-v3-0324": 6,
    "meta-llama/llama-3.3-70b-instruct": 6,
    "openai/gpt-5": 0,
}
USAGE = {"prompt_tokens": 123_457, "completion_tokens": 7_891, "total_tokens": 131_348}


def test_every_price_of_the_real_history_is_found_at_its_day() -> None:
    report = replay_prices(body=shared_data(REAL).read_bytes(), source=REAL, actor="tester", now=NOW)

    assert (report.snapshots, report.models, report.created, report.known, report.skipped) == (31, 990, 990, 0, ())
    catalog = load_catalog()
    checked = 0
    for at, prices in real_snapshots():
        for model_id, (prompt, completion) in prices.items():
            priced = catalog.lookup(model_id, at=at)
            assert priced is not None
            assert priced.sheet is not None
            assert priced.model_id == model_id
            assert priced.sheet.prices == {
                "prompt": Decimal(per_token(prompt)),
                "completion": Decimal(per_token(completion)),
            }
            checked += 1
    assert checked == 8120
    assert Price.objects.count() == report.prices
    assert PriceChange.objects.count() == 0
    record = CatalogSync.objects.get()
    assert (record.source, record.effective_at) == (f"price history: {REAL}", day("2026-09-02"))
    assert AuditEntry.objects.get(action="replay_prices").object_id == str(record.pk)


def test_played_in_twice_nothing_changes() -> None:
    body = history_file(real_snapshots()[-3:])
    replay_prices(body=body, source="x", actor="tester", now=NOW)
    before = row_versions()

    again = replay_prices(body=body, source="x", actor="tester", now=NOW)

    assert (again.prices, again.created) == (0, 0)
    assert row_versions() == before


def quotes_of(snapshots: Snapshots) -> dict[tuple[str, datetime], tuple[Decimal, int, int]]:
    """What the watched models cost on the days played in so far, and one hour before the next."""
    found = {}
    days = [at for at, _ in snapshots]
    for at in [*days, *(later - timedelta(hours=1) for later in days[1:])]:
        for model in WATCHED:
            answer = quote(
                model=model,
                usage=USAGE,
                dialect="openai_chat",
                at=at,
                rate=Decimal(1400),
                margin=Decimal("0.15"),
            )
            found[model, at] = (answer.cost.total_usd, answer.totals.supply_krw, answer.totals.vat_krw)
    return found


@pytest.mark.parametrize("how", ["history", "listings"])
def test_twelve_months_of_changes_move_no_quote_of_the_past(how: str) -> None:
    year = [(at, prices) for at, prices in real_snapshots() if at >= datetime(2025, 9, 1, tzinfo=UTC)]
    assert len(year) == 13  # twelve steps from month to month
    quoted: dict[tuple[str, datetime], tuple[Decimal, int, int]] = {}

    for months in range(1, len(year) + 1):
        at, prices = year[months - 1]
        if how == "history":
            replay_prices(body=history_file(year[:months]), source="year.json", actor="tester", now=NOW)
        else:
            sync_catalog(body=as_listing(prices), source="listing", at=at, now=NOW, actor="tester", accept_shrink=True)
        now_quoted = quotes_of(year[:months])
        assert quoted.items() <= now_quoted.items(), f"a quote of the past moved with {at:%Y-%m-%d}"
        quoted = now_quoted

    for model, moves in WATCHED.items():
        pairs = [prices[model] for _, prices in year]
        assert sum(one != other for one, other in pairwise(pairs)) == moves
        for (at, _), pair in zip(year, pairs, strict=True):
            usd, supply, vat = won_of(pair, prompt_tokens=123_457, completion_tokens=7_891)
            cost, *won = quoted[model, at]
            assert (Fraction(cost), won) == (usd, [supply, vat]), (model, at)
    # By hand: 123,457 tokens at USD 1.25 and 7,891 at USD 10 per million, x 1,400 / 0.85.
    assert quoted["openai/gpt-5", year[0][0]] == (Decimal("0.23323125"), 384, 38)


def test_a_history_fills_in_what_was_before_and_keeps_what_is_known() -> None:
    sync(entry("a/x", "0.000003"))

    report = replay(
        ("2026-01-07", {"a/x": ["1", "2"]}),
        ("2026-02-01", {"a/x": ["1.0", "2.0"]}),
        ("2026-03-03", {"a/x": ["1.5", "2"], "a/gone": ["7", "7"]}),
        ("2026-06-06", {"a/x": ["9", "9"]}),
    )

    assert (report.prices, report.known, report.created) == (3, 1, 1)
    assert history("a/x") == [
        ("listed", day("2026-01-07"), day("2026-03-03"), {"prompt": "0.000001", "completion": "0.000002"}),
        ("listed", day("2026-03-03"), MAY, {"prompt": "0.0000015", "completion": "0.000002"}),
        ("listed", MAY, None, {"prompt": "0.000003", "completion": "0.000015"}),
    ]
    assert Model.objects.get(model_id="a/x").status == "active"
    gone = Model.objects.get(model_id="a/gone")
    assert (gone.status, gone.retired_at, gone.provider.slug) == ("retired", day("2026-06-06"), "a")
    # The next listing describes and prices as ever.
    sync(entry("a/x", "0.000004"), entry("a/gone", name="Back"), at=NOW)
    assert Model.objects.get(model_id="a/gone").status == "active"
    assert history("a/x")[-1] == ("listed", NOW, None, {"prompt": "0.000004", "completion": "0.000015"})


def test_the_first_listing_after_a_history_waits_for_nobody() -> None:
    replay(("2026-01-07", {"a/x": ["3", "15"]}))
    full = {"prompt": "0.000003", "completion": "0.000015", "input_cache_read": "0.0000003"}

    first = sync(entry("a/x", pricing=full), approval_percent=Decimal(50))
    assert (first.price_changes, first.awaiting) == (1, ())
    second = sync(entry("a/x"), at=NOW, approval_percent=Decimal(50))
    assert [(one.percents, second.price_changes) for one in second.awaiting] == [({"input_cache_read": "900"}, 0)]


def test_a_longer_history_continues_a_shorter_one_at_both_ends() -> None:
    replay(("2026-02-01", {"a/x": ["1", "2"]}))

    replay(
        ("2026-01-07", {"a/x": ["3", "2"]}),
        ("2026-02-01", {"a/x": ["1", "2"]}),
        ("2026-03-03", {"a/x": ["5", "2"]}),
    )

    assert [(row[1], row[2], row[3]["prompt"]) for row in history("a/x")] == [
        (day("2026-01-07"), day("2026-02-01"), "0.000003"),
        (day("2026-02-01"), day("2026-03-03"), "0.000001"),
        (day("2026-03-03"), None, "0.000005"),
    ]


def test_what_a_later_reading_left_as_it_was_is_not_rewritten() -> None:
    replay(("2026-01-07", {"a/x": ["3", "15"]}))
    sync(entry("a/x", "0.000003"))

    report = replay(("2026-01-07", {"a/x": ["3", "15"]}), ("2026-02-01", {"a/x": ["9", "15"]}))

    assert (report.prices, report.known) == (0, 2)
    assert [row[1:3] for row in history("a/x")] == [(day("2026-01-07"), None)]


def test_no_name_changes_its_meaning() -> None:
    sync(entry("a/x", canonical_slug="a/x-2026"))
    add_alias(alias="a/latest", model=Model.objects.get(), actor="tester")

    report = replay(("2026-01-07", {"a/x-2026": ["9", "9"], "a/latest": ["9", "9"], "a/x": ["1", "1"]}))

    assert report.skipped == ("a/latest", "a/x-2026")
    assert find_model("a/x-2026") == find_model("a/latest") == Model.objects.get()
    assert len(history("a/x")) == 2


def test_history_says_what_changed_by_how_much_and_where_it_comes_from() -> None:
    replay(
        ("2026-01-07", {"a/x": ["1", "2"]}), ("2026-02-01", {"a/x": ["1.5", "2"]}), ("2026-03-03", {"a/x": ["0", "0"]})
    )
    sync(entry("a/x", "0.000003"))

    found = price_history(Model.objects.get())

    assert [(interval.price.effective_from, str(interval.percent)) for interval in found] == [
        (day("2026-01-07"), "None"),
        (day("2026-02-01"), "50.0000"),
        (day("2026-03-03"), "-100.0000"),
        (MAY, "None"),
    ]
    assert [(one.key, one.percent) for one in found[1].changes] == [("prompt", Decimal(50))]
    assert [(one.key, one.percent) for one in found[3].changes] == [("completion", None), ("prompt", None)]
    assert (found[0].price.source, found[0].price.created_by) == ("price history: small.json", "tester")
    assert (found[3].price.source, found[3].price.created_by) == ("test", "tester")


def test_a_history_is_of_the_past() -> None:
    with pytest.raises(DomainError) as refusal:
        replay(("2026-11-21", {"a/x": ["1", "2"]}))
    assert (refusal.value.code, Model.objects.count()) == ("effective_in_future", 0)


def test_the_command(tmp_path: Path) -> None:
    file = tmp_path / "history.json"
    file.write_bytes(history_file([(day("2026-01-07"), {"a/x": ["1.25", "10"]})]))

    code, answer = run("replay_prices", str(file))

    assert (code, answer) == (
        0,
        {
            "source": "price history: history.json",
            "snapshots": 1,
            "first_at": "2026-01-07T00:00:00+00:00",
            "last_at": "2026-01-07T00:00:00+00:00",
            "models": 1,
            "created": 1,
            "prices": 1,
            "known": 0,
            "skipped": [],
        },
    )
    assert history("a/x") == [("listed", day("2026-01-07"), None, {"prompt": "0.00000125", "completion": "0.00001"})]
    file.write_text(json.dumps({"snapshots": []}))
    assert run("replay_prices", str(file))[1]["error"]["code"] == "no_snapshots"
    assert run("replay_prices", str(tmp_path))[1]["error"]["code"] == "listing_unreadable"
