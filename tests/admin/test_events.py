"""The list of usage events stays usable however many millions there are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Customer
from tests.admin.house import House
from tests.billing.month import ACTOR, DOLLAR, NOW, use
from usage.admin import events as events_admin
from usage.admin import reading
from usage.models import UsageEvent
from usage.services.ingesting import ingest_events

pytestmark = pytest.mark.django_db

LIST = "/admin/usage/usageevent/"


def found(client: Client, query: str = "") -> list[str]:
    """Ids of the events that a list shows, in its order."""
    return [event.event_id for event in client.get(LIST + query).context["cl"].result_list]


def queries_on_events(client: Client, query: str = "") -> list[str]:
    """The SQL that a list runs on the event table."""
    with CaptureQueriesContext(connection) as captured:
        assert client.get(LIST + query).status_code == 200
    return [one["sql"] for one in captured if '"usage_event"' in one["sql"]]


def plan(sql: str) -> Any:
    """PostgreSQL's plan for a statement as it was run, flattened to its nodes."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # tables of a test are too small for an index to pay
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}")
        [top] = json.loads(text) if isinstance(text := cursor.fetchone()[0], str) else text
    nodes, waiting = [], [top["Plan"]]
    while waiting:
        node = waiting.pop()
        nodes.append(node)
        waiting += node.get("Plans", [])
    return nodes


def test_an_event_s_page_shows_what_was_measured_and_how_it_was_priced(root: Client, house: House) -> None:
    event = UsageEvent.objects.get(event_id="odd-1")
    page = root.get(f"{LIST}{event.pk}/change/").content.decode()
    for text in (
        "odd-1",
        "acme/odd",
        "openai_chat",
        "2026-11-01 12:00:00",
        "&quot;prompt_tokens&quot;: 1000000",
        "open",
    ):
        assert text in page
    assert reverse("admin:usage_quarantinedevent_change", args=[house.quarantined.pk]) in page
    assert root.post(f"{LIST}{event.pk}/change/", {"event_id": "other"}).status_code == 403
    assert root.get(f"{LIST}999999999/change/").headers["Location"] == "/admin/"


def test_filters_by_customer_and_korean_month(root: Client, house: House) -> None:
    use(house.naru, DOLLAR, at="2026-09-30T23:59:59+09:00", event_id="september")
    use(house.naru, DOLLAR, at="2026-10-01T00:00:00+09:00", event_id="october")
    assert found(root, "?customer=naru&month=2026-09") == ["september"]
    assert found(root, "?customer=naru&month=2026-10")[-1] == "october"
    assert found(root, "?customer=naru&month=2026-11") == []
    assert found(root, "?customer=gaon&month=2026-11") == ["odd-1"]
    assert found(root, "?customer=nobody") == []


def test_search_is_by_the_whole_id_and_finds_it_in_any_month(root: Client, house: House) -> None:
    use(house.naru, DOLLAR, at="2026-09-30T23:59:59+09:00", event_id="odd-1")
    assert found(root, "?q=odd-1") == ["odd-1", "odd-1"]
    assert found(root, "?q=odd-1&customer=naru") == ["odd-1"]
    assert found(root, "?q=odd") == []
    assert found(root, "?q=ODD-1") == []
    assert found(root, "?q=%25") == []


def test_without_customer_only_the_newest_are_read(root: Client, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_admin, "NEWEST_EVENTS", 2)
    use(house.naru, DOLLAR, at="2026-08-01T00:00:00+09:00", event_id="old-but-last")
    assert found(root) == ["taken-back", "old-but-last"]


def test_no_query_counts_or_reads_the_whole_table(root: Client, house: House) -> None:
    use(house.naru, DOLLAR, at="2026-09-30T23:59:59+09:00", event_id="september")
    for query in ("", "?customer=gaon", "?customer=gaon&month=2026-10", "?q=odd-1"):
        counting, listing = queries_on_events(root, query)
        assert "COUNT(" not in counting.upper() + listing.upper()
        assert " LIMIT 10000" in counting
    counting, listing = queries_on_events(root, "?customer=gaon&month=2026-10")
    for sql in (counting, listing):
        nodes = plan(sql)
        scanned = {node["Relation Name"] for node in nodes if node.get("Relation Name", "").startswith("usage_event_")}
        assert scanned == {"usage_event_2026_10"}
        assert "Seq Scan" not in {node["Node Type"] for node in nodes if node.get("Relation Name") in scanned}


def test_a_customer_s_list_is_read_in_the_order_of_the_key(root: Client, house: House) -> None:
    lines = [
        json.dumps(
            {
                "id": f"bulk-{number:03d}",
                "customer": "gaon",
                "model": "acme/cent",
                "occurred_at": f"2026-10-{1 + number % 28:02d}T12:00:00+09:00",
                "dialect": "openai_chat",
                "usage": {"prompt_tokens": number, "completion_tokens": 0, "total_tokens": number},
            }
        ).encode()
        for number in range(150)
    ]
    ingest_events(lines=lines, now=NOW, actor=ACTOR)
    page = root.get(LIST + "?customer=gaon&month=2026-10")
    changelist = page.context["cl"]
    assert (changelist.result_count, len(changelist.result_list), changelist.paginator.num_pages) == (151, 100, 2)
    assert len(found(root, "?customer=gaon&month=2026-10&p=2")) == 51
    instants = [event.occurred_at for event in changelist.result_list]
    assert instants == sorted(instants, reverse=True)
    _counting, listing = queries_on_events(root, "?customer=gaon&month=2026-10")
    sorts = [node for node in plan(listing) if node["Node Type"] == "Sort"]
    assert sorts == []
    assert Customer.objects.count() == 2


def test_the_count_stops_at_its_bound_and_says_so(root: Client, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "COUNTED_ROWS", 2)
    page = root.get(LIST)
    assert page.context["cl"].result_count == 2
    assert "2+ usage events" in " ".join(page.content.decode().split())
