"""Apps: a row for each pair of referer and title, up to a limit, whoever sends them at the same moment."""

from __future__ import annotations

import threading
from importlib import import_module
from typing import Any

import pytest
from django.db import connection, transaction
from pytest_django import DjangoAssertNumQueries

from tests.usage.factories import NOW, customer, ingest, line, model, violations
from usage.models import UsageApp, UsageHour, UsageRollup
from usage.services import attribution
from usage.services.attribution import app_ids
from usage.services.rerating import rate_quarantined


def from_app(event_id: str, title: str = "", referer: str = "", **changes: Any) -> bytes:
    """An event of that app."""
    return line(event_id, app={"title": title, "referer": referer}, **changes)


@pytest.mark.django_db
def test_sums_are_kept_by_app() -> None:
    customer()
    model()
    ingest(
        from_app("a", "Chat", "https://chat.example.com"),
        from_app("b", "Chat", "https://chat.example.com"),
        from_app("c", "Chat"),
        line("d"),
    )
    apps = {app.pk: (app.referer, app.title) for app in UsageApp.objects.all()}
    assert sorted(apps.values()) == [("", "Chat"), ("https://chat.example.com", "Chat")]
    assert {(apps.get(row.app_id), row.requests) for row in UsageRollup.objects.all()} == {
        (None, 1),
        (("", "Chat"), 1),
        (("https://chat.example.com", "Chat"), 2),
    }
    assert {(row.app_id, row.requests) for row in UsageHour.objects.all()} == {
        (row.app_id, row.requests) for row in UsageRollup.objects.all()
    }
    assert violations() == []


@pytest.mark.django_db
def test_every_kind_of_token_is_in_both_sums() -> None:
    customer()
    components = {"prompt": "0.000003", "completion": "0.000015", "web_search": "0.01", "image": "0.001"}
    model(components=components)
    usage = {
        "input_tokens": 10,
        "output_tokens": 5,
        "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 7,
        "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
        "server_tool_use": {"web_search_requests": 2},
    }
    ingest(
        line("a", dialect="anthropic_messages", usage=usage),
        line(
            "b",
            usage={
                "prompt_tokens": 100,
                "completion_tokens": 30,
                "total_tokens": 130,
                "prompt_tokens_details": {"audio_tokens": 11},
                "completion_tokens_details": {"audio_tokens": 12, "reasoning_tokens": 6, "image_tokens": 5},
            },
        ),
    )
    counts = (
        "requests", "prompt_tokens", "completion_tokens", "cache_read_tokens", "cache_write_tokens",
        "cache_write_1h_tokens", "reasoning_tokens", "audio_input_tokens", "audio_output_tokens", "image_output_tokens",
        "web_searches",
    )  # fmt: skip
    expected = (2, 137, 35, 20, 7, 4, 6, 11, 12, 5, 2)
    assert UsageRollup.objects.values_list(*counts).get() == expected
    assert UsageHour.objects.values_list(*counts).get() == expected
    assert violations() == []


@pytest.mark.django_db
def test_beyond_the_limit_apps_share_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution, "MAX_APPS", 3)
    owner = customer()
    model()
    ingest(*(from_app(f"a{number}", f"App {number}") for number in range(5)))
    ingest(from_app("b1", "App 1"), from_app("b7", "App 7"), from_app("b8", "App 8"))
    titles = dict(UsageApp.objects.values_list("title", "pk"))
    assert sorted(titles) == ["(others)", "App 0", "App 1", "App 2"]
    sums = dict(UsageRollup.objects.values_list("app_id", "requests"))
    assert {title: sums[pk] for title, pk in titles.items()} == {"(others)": 4, "App 0": 1, "App 1": 2, "App 2": 1}
    assert violations() == []
    other = customer("another")
    assert app_ids([(other.pk, "", "App 7")]) != app_ids([(owner.pk, "", "App 7")])


@pytest.mark.django_db
def test_a_quarantined_event_counts_under_its_app_once_it_is_priced() -> None:
    customer()
    ingest(from_app("held", "Chat", model="x/new"))
    assert not UsageRollup.objects.exists()
    model("x/new")
    rate_quarantined(actor="tests", now=NOW)
    chat = UsageApp.objects.get(title="Chat").pk
    assert (UsageRollup.objects.get().app_id, UsageHour.objects.get().app_id) == (chat, chat)
    assert violations() == []


@pytest.mark.django_db(transaction=True)
def test_known_apps_ask_the_database_nothing_and_rolled_back_ones_are_forgotten(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    owner = customer().pk
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        app_ids([(owner, "", "Chat")])
        raise ZeroDivisionError
    assert not UsageApp.objects.exists()
    with transaction.atomic():
        ids = app_ids([(owner, "", "Chat"), (owner, "", "")])
    assert ids == {(owner, "", "Chat"): UsageApp.objects.get().pk, (owner, "", ""): 0}
    with django_assert_num_queries(0):
        assert app_ids([(owner, "", "Chat"), (owner, "", "")]) == ids


@pytest.mark.django_db(transaction=True)
def test_writers_at_the_same_moment_agree_on_what_still_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution, "MAX_APPS", 5)
    customer()
    model()
    barrier, failures = threading.Barrier(4), []

    def send(worker: int) -> None:
        try:
            barrier.wait()
            for batch in range(3):
                ingest(*(from_app(f"{worker}-{batch}-{n}", f"App {batch}-{n + worker}") for n in range(4)))
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=send, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert UsageApp.objects.count() == 6
    assert violations() == []


@pytest.mark.django_db
def test_the_migration_rebuilds_the_sums_of_what_was_stored_before() -> None:
    customer()
    model()
    ingest(from_app("a", "Chat"), from_app("b", "", "https://a.example.com"), line("c"), line("held", model="x/new"))
    ingest(line("told", usage={"prompt_tokens": 100, "completion_tokens": 3, "cost": 0.5}, dialect="openrouter"))
    model("x/new")
    rate_quarantined(actor="tests", now=NOW)
    UsageApp.objects.all().delete()
    UsageHour.objects.all().delete()
    UsageRollup.objects.filter(app_id__gt=0).delete()
    assert violations() != []
    with connection.cursor() as cursor:
        # The columns of a later migration, whose own statement counts them in turn.
        cursor.execute(
            "ALTER TABLE usage_usagerollup ALTER upstream_basis_usd SET DEFAULT 0, ALTER higher_basis_usd SET DEFAULT 0"
        )
        for statement in import_module("usage.migrations.0003_apps_and_hours").REBUILT:
            cursor.execute(statement)
        cursor.execute(import_module("usage.migrations.0009_cost_bases").COUNT)
    assert UsageApp.objects.count() == 2
    assert violations() == []
