"""Routing suffixes: how a name is split, which suffixes a model takes, and what each costs."""

import pytest

from catalog.variants import VARIANTS, VariantPrice, split_variant, variants_taken


@pytest.mark.parametrize(
    ("name", "base", "suffix"),
    [
        ("openai/gpt-5:nitro", "openai/gpt-5", "nitro"),
        ("openai/gpt-5", "openai/gpt-5", ""),
        ("auto:floor", "auto", "floor"),
        ("a/b:free:nitro", "a/b:free", "nitro"),
        ("a/b:", "a/b:", ""),
        (":free", ":free", ""),
        ("a:b/c", "a:b/c", ""),
        ("a/b: ", "a/b", " "),
        ("", "", ""),
    ],
)
def test_a_name_is_split_at_its_last_colon(name: str, base: str, suffix: str) -> None:
    assert split_variant(name) == (base, suffix)


def taken(
    model_id: str = "a/x",
    parameters: frozenset[str] = frozenset(),
    price_keys: frozenset[str] = frozenset({"prompt", "completion"}),
    listed: frozenset[str] = frozenset(),
) -> dict[str, VariantPrice]:
    variants = variants_taken(model_id, parameters=parameters, price_keys=price_keys, listed_ids=listed | {model_id})
    return {variant.suffix: variant.price for variant in variants}


def test_every_model_can_be_routed_by_speed_and_price_at_its_own_price() -> None:
    assert taken() == {"nitro": VariantPrice.BASE, "floor": VariantPrice.BASE}


def test_free_is_taken_only_where_it_is_listed() -> None:
    assert "free" not in taken(listed=frozenset({"a/y:free"}))
    assert taken(listed=frozenset({"a/x:free"}))["free"] is VariantPrice.LISTED


@pytest.mark.parametrize("parameter", ["reasoning", "include_reasoning", "reasoning_effort"])
def test_thinking_needs_a_model_that_reasons_and_costs_what_it_costs(parameter: str) -> None:
    assert taken(parameters=frozenset({parameter}))["thinking"] is VariantPrice.BASE
    assert "thinking" not in taken(parameters=frozenset({"tools"}))


def test_thinking_that_is_a_model_of_its_own_has_its_own_price() -> None:
    assert taken(listed=frozenset({"a/x:thinking"}))["thinking"] is VariantPrice.LISTED


def test_online_needs_a_listed_price_of_a_search() -> None:
    assert taken(price_keys=frozenset({"prompt", "web_search"}))["online"] is VariantPrice.WEB_SEARCH
    assert "online" not in taken(parameters=frozenset({"web_search_options"}))


def test_exacto_needs_tools() -> None:
    assert taken(parameters=frozenset({"tools"}))["exacto"] is VariantPrice.BASE
    assert "exacto" not in taken()


def test_a_variant_takes_no_second_suffix() -> None:
    assert taken("a/x:free", parameters=frozenset({"tools", "reasoning"})) == {}


def test_suffixes_have_one_order_and_say_what_they_cost() -> None:
    assert [variant.suffix for variant in VARIANTS] == ["nitro", "floor", "free", "thinking", "online", "exacto"]
    descriptions = {variant.suffix: variant.description for variant in VARIANTS}
    assert descriptions["nitro"] == "Asks the provider with the highest throughput first. Costs what the model costs."
    assert descriptions["online"].endswith("Costs what the model costs, and its web search price for each search.")
    assert descriptions["free"].endswith("A model of its own: costs what it is listed at.")
