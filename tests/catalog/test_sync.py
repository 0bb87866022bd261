"""A listing that comes in: what is stored, what a second one changes, what an equal one leaves alone."""

import hashlib
import json
from datetime import UTC, datetime

import pytest

from accounts.models import AuditEntry
from catalog.models import CatalogSync, Model, ModelAlias, Price, Provider
from tests.catalog.listings import (
    JULY,
    JUNE,
    MAY,
    counts,
    entry,
    history,
    row_versions,
    sync,
    sync_body,
    usd,
)
from tests.shared import shared_data

pytestmark = pytest.mark.django_db


@pytest.fixture
def real_listing() -> bytes:
    return shared_data("openrouter-models-2026-05-12.json").read_bytes()


def test_a_whole_real_listing_comes_in(real_listing: bytes) -> None:
    report = sync_body(real_listing)

    assert counts(report) == {"listed": 356, "created": 356, "variable": 3}
    assert report.quarantined == ()
    assert Model.objects.filter(status="active").count() == 356
    assert Price.objects.filter(kind="listed", effective_from=MAY, effective_to=None).count() == 353
    assert list(Price.objects.filter(kind="variable").order_by("model__model_id").values_list("model__model_id")) == [
        ("openrouter/auto",),
        ("openrouter/bodybuilder",),
        ("openrouter/pareto-code",),
    ]


def test_every_price_of_the_real_listing_is_stored_as_it_was_written(real_listing: bytes) -> None:
    sync_body(real_listing)

    stored = {price.model.model_id: price for price in Price.objects.select_related("model")}
    for listed in json.loads(real_listing)["data"]:
        price = stored[listed["id"]]
        assert price.listed_pricing == listed["pricing"]
        assert price.components == ({} if price.kind == "variable" else listed["pricing"])
        assert price.overrides == []
    assert stored["google/gemini-2.5-flash"].components["input_cache_write"] == "0.00000008333333333333334"


def test_a_real_entry_keeps_its_facts(real_listing: bytes) -> None:
    sync_body(real_listing)

    model = Model.objects.select_related("provider").get(model_id="anthropic/claude-opus-4.7-fast")
    assert (model.provider.slug, model.provider.name) == ("anthropic", "Anthropic")
    assert model.canonical_slug == "anthropic/claude-4.7-opus-fast-20260512"
    assert model.name == "Anthropic: Claude Opus 4.7 (Fast)"
    assert model.listed_at == datetime.fromtimestamp(1778613011, UTC)
    assert model.context_length == 1_000_000
    assert model.listing["top_provider"]["max_completion_tokens"] == 128_000
    assert "pricing" not in model.listing
    # A name that moves is a model of its own, made by the same author.
    assert Model.objects.get(model_id="~anthropic/claude-haiku-latest").provider == model.provider


def test_the_router_is_also_called_auto(real_listing: bytes) -> None:
    sync_body(real_listing)

    assert ModelAlias.objects.get().alias == "auto"
    assert ModelAlias.objects.get().model.model_id == "openrouter/auto"


def test_a_sync_is_recorded_with_its_counts(real_listing: bytes) -> None:
    report = sync_body(real_listing)

    record = CatalogSync.objects.get()
    assert (record.source, record.effective_at, record.actor) == ("test", MAY, "tester")
    assert record.listing_sha256 == hashlib.sha256(real_listing).hexdigest()
    assert record.counts == report.as_dict()
    audit = AuditEntry.objects.get(action="sync_catalog")
    assert (audit.actor, audit.object_type, audit.object_id) == ("tester", "catalog.catalogsync", str(record.pk))


def test_an_unchanged_second_sync_writes_nothing(real_listing: bytes) -> None:
    sync_body(real_listing)
    before = row_versions()

    report = sync_body(real_listing, at=JUNE)

    assert counts(report) == {"listed": 356, "unchanged": 356, "variable": 3}
    assert not report.changed
    assert row_versions() == before
    assert CatalogSync.objects.count() == 1


def test_a_sync_takes_the_same_number_of_statements_for_one_model_and_for_all(
    real_listing: bytes, django_assert_max_num_queries
) -> None:
    with django_assert_max_num_queries(20):
        sync_body(real_listing)
    changed = json.loads(real_listing)
    for listed in changed["data"]:
        listed["name"] += " 2"
        if listed["pricing"]["prompt"] != "-1":
            listed["pricing"]["prompt"] += "1"
    with django_assert_max_num_queries(20):
        report = sync_body(json.dumps(changed).encode(), at=JUNE)
    assert counts(report) == {"listed": 356, "updated": 356, "price_changes": 353, "variable": 3}


def test_a_changed_price_ends_one_interval_and_opens_the_next() -> None:
    sync(entry("a/x", "0.000003"), entry("a/y"))
    untouched = Price.objects.get(model__model_id="a/y")

    report = sync(entry("a/x", "0.000002"), entry("a/y"), at=JUNE)

    assert counts(report) == {"listed": 2, "price_changes": 1, "unchanged": 1}
    assert history("a/x") == [
        ("listed", MAY, JUNE, usd("0.000003")),
        ("listed", JUNE, None, usd("0.000002")),
    ]
    assert Price.objects.get(model__model_id="a/y").pk == untouched.pk
    assert Price.objects.filter(model__model_id="a/x", effective_to=None).get().created_by == "tester"


@pytest.mark.parametrize("same", ["0.0000030", "0.000003000000000000000", "00.000003"])
def test_the_same_price_written_otherwise_is_no_change(same: str) -> None:
    sync(entry("a/x", "0.000003"))
    before = row_versions()

    assert not sync(entry("a/x", same), at=JUNE).changed
    assert row_versions() == before


def test_a_price_as_a_json_number_is_the_same_price() -> None:
    sync(entry("a/x", "0.000003"))

    body = b'{"data":[{"id":"a/x","canonical_slug":"a/x","name":"a/x","pricing":{"prompt":0.000003,"completion":0.000015}}]}'
    assert not sync_body(body, at=JUNE).changed


@pytest.mark.parametrize(
    "pricing",
    [
        {**usd("0.000003"), "input_cache_read": "0.0000003"},
        {**usd("0.000003"), "request": "0"},
        {"prompt": "0.000003", "completion": "0.0000150000000000000000001"},
        {**usd("0.000003"), "overrides": [{"min_prompt_tokens": 200000, "prompt": "0.000006"}]},
    ],
)
def test_another_key_digit_or_override_is_a_change(pricing: dict) -> None:
    sync(entry("a/x", "0.000003"))

    assert sync(entry("a/x", pricing=pricing), at=JUNE).price_changes == 1
    assert Price.objects.get(model__model_id="a/x", effective_to=None).listed_pricing == {
        **pricing,
        **({"overrides": [{"min_prompt_tokens": "200000", "prompt": "0.000006"}]} if "overrides" in pricing else {}),
    }


def test_overrides_are_stored_as_listed() -> None:
    overrides = [{"min_prompt_tokens": 200000, "prompt": "0.000006"}, {"utc_start": 1630, "utc_end": 30, "prompt": "0"}]
    sync(entry("a/x", pricing={**usd("0.000003"), "overrides": overrides}))

    assert Price.objects.get().overrides == overrides
    assert not sync(entry("a/x", pricing={**usd("0.000003"), "overrides": overrides}), at=JUNE).changed


def test_a_model_that_becomes_variable_has_no_price_from_then_on() -> None:
    sync(entry("a/x", "0.000003"))

    report = sync(entry("a/x", "-1", "-1"), at=JUNE)

    assert counts(report) == {"listed": 1, "price_changes": 1, "variable": 1}
    assert history("a/x") == [("listed", MAY, JUNE, usd("0.000003")), ("variable", JUNE, None, {})]
    assert not sync(entry("a/x", "-1", "-1"), at=JULY).changed


def test_a_new_description_is_no_new_price() -> None:
    sync(entry("a/x"), entry("a/y"))
    price = Price.objects.get(model__model_id="a/x")

    report = sync(
        entry("a/x", name="X", context_length=8192, top_provider={"is_moderated": True}), entry("a/y"), at=JUNE
    )

    assert counts(report) == {"listed": 2, "updated": 1, "unchanged": 1}
    model = Model.objects.get(model_id="a/x")
    assert (model.name, model.context_length, model.listing) == ("X", 8192, {"top_provider": {"is_moderated": True}})
    assert Price.objects.get(model__model_id="a/x") == price
    assert CatalogSync.objects.count() == 2


def test_a_vanished_model_is_retired_and_keeps_its_price() -> None:
    sync(entry("a/x"), entry("a/y"))

    report = sync(entry("a/y"), at=JUNE)

    assert counts(report) == {"listed": 1, "unchanged": 1, "retired": 1}
    model = Model.objects.get(model_id="a/x")
    assert (model.status, model.retired_at) == ("retired", JUNE)
    assert history("a/x") == [("listed", MAY, None, usd("0.000003"))]
    assert not sync(entry("a/y"), at=JULY).changed


def test_a_model_that_comes_back_is_on_sale_again() -> None:
    sync(entry("a/x"), entry("a/y"), entry("a/z"))
    sync(entry("a/y"), entry("a/z"), at=JUNE)

    report = sync(entry("a/x", "0.000004"), entry("a/y"), entry("a/z"), at=JULY)

    assert counts(report) == {"listed": 3, "price_changes": 1, "unchanged": 2, "returned": 1}
    model = Model.objects.get(model_id="a/x")
    assert (model.status, model.retired_at) == ("active", None)
    assert history("a/x") == [("listed", MAY, JULY, usd("0.000003")), ("listed", JULY, None, usd("0.000004"))]


def test_providers_come_from_ids() -> None:
    sync(
        entry("a/x", name="Alpha: X"),
        entry("a/y", name="Alpha: Y"),
        entry("a/z", name="Aleph: Z"),
        entry("~a/latest", name="Alpha Latest"),
        entry("b/x", name="X"),
        entry("no-slash", name="None"),
    )

    assert list(Provider.objects.order_by("slug").values_list("slug", "name")) == [
        ("a", "Alpha"),
        ("b", "b"),
        ("unknown", "unknown"),
    ]
    assert Model.objects.get(model_id="~a/latest").provider.slug == "a"
    assert Model.objects.get(model_id="no-slash").provider.slug == "unknown"


def test_an_alias_that_somebody_gave_stays() -> None:
    sync(entry("a/x"))
    ModelAlias.objects.create(alias="auto", model=Model.objects.get(), created_by="operator")

    sync(entry("a/x"), entry("openrouter/auto", "-1", "-1"), at=JUNE)

    assert ModelAlias.objects.get().model.model_id == "a/x"
