"""Which model a name means, and what it costs at an instant: one rule for queries and for the catalog in memory."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from accounts.errors import Conflict, InvalidInput
from accounts.models import AuditEntry
from catalog.models import Model, ModelAlias, Price
from catalog.pricing import Quantities
from catalog.selectors import catalog_version, find_model, load_catalog, price_in_force
from catalog.services import add_alias, resolve_quarantined_price
from tests.catalog.listings import JULY, JUNE, MAY, entry, sync, sync_body, usd
from tests.shared import shared_data

pytestmark = pytest.mark.django_db

AN_INSTANT = timedelta(microseconds=1)


@pytest.fixture
def _catalog() -> None:
    sync(
        entry("a/x:free", "0", "0", canonical_slug="a/x-2026"),
        entry("a/x", canonical_slug="a/x-2026"),
        entry("a/x:thinking", "0.000004", canonical_slug="a/x-2026"),
        entry("b/gift:free", "0", "0", canonical_slug="b/gift"),
        entry("c/named:free", "0", "0", canonical_slug="c/named:free"),
        entry("d/old", canonical_slug="d/one"),
        entry("d/new", canonical_slug="d/one"),
        entry("~d/latest", canonical_slug="d/one"),
        entry("e/id", canonical_slug="e/slug"),
        entry("e/slug", canonical_slug="e/other"),
        entry("openrouter/auto", "-1", "-1"),
    )
    add_alias(alias="nickname", model=Model.objects.get(model_id="a/x"), actor="kim")


NAMES = [
    ("a/x", "a/x"),
    ("a/x:free", "a/x:free"),
    ("a/x-2026", "a/x"),
    ("a/x-2026:free", "a/x:free"),
    ("a/x-2026:thinking", "a/x:thinking"),
    ("a/x:nitro", "a/x"),
    ("a/x-2026:nitro", "a/x"),
    ("nickname", "a/x"),
    ("nickname:floor", "a/x"),
    ("auto", "openrouter/auto"),
    ("c/named:free", "c/named:free"),
    # What costs nothing under a variant has no price under the bare name: nobody knows it.
    ("b/gift", None),
    ("b/gift:nitro", None),
    ("b/gift:free", "b/gift:free"),
    ("c/named", None),
    # An id wins over another model's slug; of models that share a slug the first by name, moving names last.
    ("e/slug", "e/slug"),
    ("d/one", "d/new"),
    # Only the last suffix is a variant, and nothing else is left off.
    ("a/x:free:nitro", "a/x:free"),
    ("a/x:", None),
    (":free", None),
    ("A/X", None),
    (" a/x", None),
    ("a/x\0", None),
    ("a/", None),
    ("", None),
]


@pytest.mark.usefixtures("_catalog")
@pytest.mark.parametrize(("name", "expected"), NAMES)
def test_a_name_means_one_model(name: str, expected: str | None) -> None:
    model = find_model(name)
    priced = load_catalog().lookup(name, at=JUNE)

    assert (model and model.model_id) == expected
    assert (priced and priced.model_id) == expected


@pytest.mark.usefixtures("_catalog")
def test_of_models_that_share_a_slug_the_one_on_sale_is_meant() -> None:
    remaining = [
        {"id": model.model_id, "canonical_slug": model.canonical_slug, "pricing": usd("0.000003")}
        for model in Model.objects.exclude(model_id="d/new")
    ]
    sync(*remaining, at=JUNE)

    assert find_model("d/one") == Model.objects.get(model_id="d/old")
    assert find_model("d/new") == Model.objects.get(model_id="d/new")


def test_every_id_and_answering_name_of_a_real_listing_is_found() -> None:
    sync_body(shared_data("openrouter-models-2026-05-12.json").read_bytes())
    catalog = load_catalog()

    for model in Model.objects.all():
        found = catalog.lookup(model.model_id, at=JUNE)
        assert found is not None
        assert found.model_id == model.model_id
        assert find_model(model.model_id) == model
        bare = catalog.lookup(model.canonical_slug, at=JUNE)
        assert bare is None or not bare.model_id.endswith(":free")
    priced = catalog.lookup("anthropic/claude-4.6-sonnet-20260217", at=JUNE)
    assert priced is not None
    assert priced.model_id == "anthropic/claude-sonnet-4.6"
    free = catalog.lookup("deepseek/deepseek-v4-flash-20260423:free", at=JUNE)
    assert free is not None
    assert free.model_id == "deepseek/deepseek-v4-flash:free"


def test_the_price_is_the_one_in_force_to_the_microsecond() -> None:
    sync(entry("a/x", "0.000003"))
    sync(entry("a/x", "0.000002"), at=JUNE)
    first, second = Price.objects.order_by("effective_from")
    catalog, model = load_catalog(), Model.objects.get()

    for at, price in [
        (MAY, first),
        (JUNE - AN_INSTANT, first),
        (JUNE, second),
        (datetime(2099, 1, 1, tzinfo=UTC), second),
    ]:
        priced = catalog.lookup("a/x", at=at)
        assert priced is not None
        assert (priced.model_pk, priced.price_pk, priced.kind) == (model.pk, price.pk, "listed")
        assert priced is catalog.lookup("a/x", at=at)
        assert price_in_force(model, at=at) == price
    before = catalog.lookup("a/x", at=MAY - AN_INSTANT)
    assert before is not None
    assert (before.kind, before.price_pk, before.sheet) == ("unpriced", None, None)
    assert price_in_force(model, at=MAY - AN_INSTANT) is None


def test_a_gap_between_prices_is_unpriced() -> None:
    sync(entry("a/x"))
    Price.objects.update(effective_to=JUNE)
    sync(entry("a/x"), at=JULY)

    priced = load_catalog().lookup("a/x", at=JUNE)
    assert priced is not None
    assert priced.kind == "unpriced"
    assert price_in_force(Model.objects.get(), at=JUNE) is None


def test_a_lookup_carries_exact_prices() -> None:
    sync(entry("a/x", "0.00000008333333333333334"))

    priced = load_catalog().lookup("a/x", at=MAY)
    assert priced is not None
    assert priced.sheet is not None
    cost = priced.sheet.cost(Quantities(prompt=3, completion=2), at=MAY)
    assert cost.total_usd == Decimal("0.00003025000000000000002")


def test_a_lookup_says_why_there_is_no_price() -> None:
    sync(entry("a/router", "-1", "-1"), entry("a/odd", pricing={**usd("1"), "magic": "2"}))
    catalog = load_catalog()

    router, odd = catalog.lookup("a/router", at=MAY), catalog.lookup("a/odd", at=MAY)
    assert router is not None
    assert odd is not None
    assert (router.kind, router.sheet) == ("variable", None)
    assert (odd.kind, odd.sheet, odd.quarantine_code) == ("quarantined", None, "unknown_price_key")
    assert "magic" in odd.quarantine_reason


def test_a_stored_price_that_is_no_longer_understood_is_not_guessed() -> None:
    sync(entry("a/x"))
    Price.objects.update(effective_to=JUNE)
    Price.objects.create(
        model=Model.objects.get(),
        kind="listed",
        effective_from=JUNE,
        components={"prompt": "1"},
        source="an older rule",
    )

    priced = load_catalog().lookup("a/x", at=JUNE)
    assert priced is not None
    assert (priced.kind, priced.sheet, priced.quarantine_code) == ("quarantined", None, "invalid_price")


def test_the_catalog_is_loaded_in_four_queries(django_assert_num_queries) -> None:
    sync(*(entry(f"a/{number}") for number in range(30)))

    with django_assert_num_queries(4):
        catalog = load_catalog()
        for number in range(30):
            assert catalog.lookup(f"a/{number}:nitro", at=MAY) is not None


def test_the_version_changes_with_everything_that_changes_an_answer() -> None:
    versions = [catalog_version()]
    strange = {**usd("1"), "magic": "2"}

    sync(entry("a/x"), entry("a/odd", pricing=strange))
    versions.append(catalog_version())
    sync(entry("a/x", "0.000002"), entry("a/odd", pricing=strange), at=JUNE)
    versions.append(catalog_version())
    sync(entry("a/x", "0.000002", canonical_slug="a/slug"), entry("a/odd", pricing=strange), at=JULY)
    versions.append(catalog_version())
    add_alias(alias="nickname", model=Model.objects.get(model_id="a/x"), actor="kim")
    versions.append(catalog_version())
    resolve_quarantined_price(
        price=Price.objects.get(kind="quarantined"), components=usd("1"), overrides=[], actor="kim", reason="asked"
    )
    versions.append(catalog_version())

    assert len(set(versions)) == len(versions)
    assert load_catalog().version == catalog_version() == versions[-1]
    sync(entry("a/x", "0.000002", canonical_slug="a/slug"), entry("a/odd", pricing=strange), at=JULY)
    assert catalog_version() == versions[-1]


@pytest.mark.usefixtures("_catalog")
def test_an_alias_is_given_once() -> None:
    x, auto = Model.objects.get(model_id="a/x"), Model.objects.get(model_id="openrouter/auto")

    assert add_alias(alias="nickname", model=x, actor="lee").created_by == "kim"
    assert AuditEntry.objects.filter(action="add_alias").count() == 1
    with pytest.raises(Conflict, match="already an alias of a/x"):
        add_alias(alias="nickname", model=auto, actor="lee")
    for taken in ("a/x", "a/x-2026", "a/x-2026:free", "c/named:free"):
        with pytest.raises(Conflict, match="already names"):
            add_alias(alias=taken, model=auto, actor="lee")
    for bad in ("", "a b", "a\n", "a\0", "x" * 201):
        with pytest.raises(InvalidInput):
            add_alias(alias=bad, model=x, actor="lee")
    assert list(ModelAlias.objects.order_by("alias").values_list("alias", flat=True)) == ["auto", "nickname"]


@pytest.mark.usefixtures("_catalog")
def test_an_alias_answers_what_no_rule_does() -> None:
    gift, thinking = Model.objects.get(model_id="b/gift:free"), Model.objects.get(model_id="a/x:thinking")

    add_alias(alias="b/gift", model=gift, actor="kim")
    add_alias(alias="a/x:deep", model=thinking, actor="kim")

    assert find_model("b/gift") == gift
    assert find_model("a/x:deep") == thinking
    assert find_model("a/x:deeper") == Model.objects.get(model_id="a/x")
