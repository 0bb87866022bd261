"""Reading a `/models` answer: what is taken, what is quarantined, what is refused."""

import json
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from catalog.listing import ListedModel, Listing, ListingError, PriceKind, parse_listing
from catalog.pricing import PriceSheet, Quantities
from tests.shared import shared_data

NOON = datetime(2026, 5, 12, 12, tzinfo=UTC)
PLAIN = {"prompt": "0.000003", "completion": "0.000015"}


def listing_of(*entries: Any) -> Listing:
    return parse_listing(json.dumps({"data": entries}).encode(), at=NOON)


def model_with(pricing: Any, *, at: datetime = NOON) -> ListedModel:
    """One model beside a good neighbour, which must never be taken down."""
    good = {"id": "good/neighbour", "pricing": PLAIN}
    body = json.dumps({"data": [{"id": "x/y", "pricing": pricing}, good]}).encode()
    model, neighbour = parse_listing(body, at=at).models
    assert neighbour.kind == PriceKind.LISTED
    return model


def model_with_literal(pricing: str) -> ListedModel:
    return parse_listing(b'{"data":[{"id":"x/y","pricing":%s}]}' % pricing.encode(), at=NOON).models[0]


def test_the_real_listing_comes_in_whole() -> None:
    body = shared_data("openrouter-models-2026-05-12.json").read_bytes()
    models = parse_listing(body, at=NOON).models
    assert len(models) == 356
    assert Counter(model.kind for model in models) == {PriceKind.LISTED: 353, PriceKind.VARIABLE: 3}
    assert {model.model_id for model in models if model.kind == PriceKind.VARIABLE} == {
        "openrouter/auto",
        "openrouter/bodybuilder",
        "openrouter/pareto-code",
    }
    assert sum(model.expiration_date is not None for model in models) == 3
    assert sum(len(price.partition(".")[2]) == 23 for model in models for price in model.components.values()) == 9

    raw = {entry["id"]: entry for entry in json.loads(body)["data"]}
    for model in models:
        entry = raw[model.model_id]
        assert model.listed_pricing == entry["pricing"]
        assert model.components == ({} if model.kind == PriceKind.VARIABLE else entry["pricing"])
        assert model.canonical_slug == entry["canonical_slug"]
        assert model.created == entry["created"]
        assert model.context_length == entry["context_length"]
        assert model.architecture == entry["architecture"]
        assert list(model.supported_parameters) == entry["supported_parameters"]
        json.dumps(dict(model.rest))


def test_the_fields_of_one_model() -> None:
    (model,) = listing_of(
        {
            "id": "anthropic/claude-sonnet-4.6",
            "canonical_slug": "anthropic/claude-4.6-sonnet-20260217",
            "hugging_face_id": "",
            "name": "Anthropic: Claude Sonnet 4.6",
            "created": 1771286400,
            "description": "Sonnet",
            "context_length": 1000000,
            "architecture": {"tokenizer": "Claude"},
            "pricing": {**PLAIN, "request": 0, "discount": 0, "overrides": [{"min_prompt_tokens": 200000, "prompt": "0.1"}]},
            "top_provider": {"context_length": 1000000, "is_moderated": True},
            "per_request_limits": None,
            "supported_parameters": ["tools", 5],
            "default_parameters": {"temperature": 0.7, "top_p": None},
            "expiration_date": "2027-01-01",
            "knowledge_cutoff": "2025-08",
        }
    ).models  # fmt: skip
    assert model.model_id == "anthropic/claude-sonnet-4.6"
    assert model.canonical_slug == "anthropic/claude-4.6-sonnet-20260217"
    assert (model.name, model.description) == ("Anthropic: Claude Sonnet 4.6", "Sonnet")
    assert (model.created, model.context_length) == (1771286400, 1000000)
    assert model.kind == PriceKind.LISTED
    assert model.components == {**PLAIN, "request": "0", "discount": "0"}
    assert model.overrides == ({"min_prompt_tokens": 200000, "prompt": "0.1"},)
    assert (model.quarantine_code, model.quarantine_reason) == ("", "")
    assert model.hugging_face_id is None
    assert model.top_provider == {"context_length": 1000000, "is_moderated": True}
    assert model.per_request_limits == {}
    assert model.supported_parameters == ("tools",)
    assert model.default_parameters == {"temperature": 0.7, "top_p": None}
    assert model.expiration_date == "2027-01-01"
    assert model.rest["knowledge_cutoff"] == "2025-08"
    assert "pricing" not in model.rest


def test_a_listing_that_says_little_is_enough() -> None:
    """Listings of other vendors carry neither slug nor description, and other fields of their own."""
    (model,) = listing_of(
        {
            "id": "qwen3-5-9b",
            "name": 5,
            "created": "today",
            "context_length": -1,
            "quantization": "fp8",
            "pricing": {"prompt": "0.00000009", "completion": "0.00000013", "image": "0", "request": "0"},
        }
    ).models
    assert (model.canonical_slug, model.name, model.description) == ("qwen3-5-9b", "qwen3-5-9b", "")
    assert (model.created, model.context_length) == (None, None)
    assert (model.architecture, model.supported_parameters, model.expiration_date) == ({}, (), None)
    assert model.rest == {"quantization": "fp8"}
    assert model.kind == PriceKind.LISTED


def test_text_that_no_database_holds_is_replaced() -> None:
    body = b'{"data":[{"id":"x/y","name":"a\\u0000b","description":"\\ud800 \\ud83d\\ude00","z":["\\u0000"],"pricing":{}}]}'
    (model,) = parse_listing(body, at=NOON).models
    assert (model.name, model.description, model.rest) == ("a�b", "� 😀", {"z": ["�"]})


@pytest.mark.parametrize("price", ["-1", "-1.0", -1])
@pytest.mark.parametrize("key", ["prompt", "completion", "web_search"])
def test_minus_one_means_variable(key: str, price: Any) -> None:
    model = model_with(PLAIN | {key: price})
    assert model.kind == PriceKind.VARIABLE
    assert (model.components, model.overrides, model.quarantine_code) == ({}, (), "")
    assert model.listed_pricing == PLAIN | {key: str(price)}


@pytest.mark.parametrize(
    ("pricing", "code"),
    [
        (None, "invalid_price"),
        ("free", "invalid_price"),
        ([], "invalid_price"),
        ({}, "invalid_price"),
        ({"prompt": "0.1"}, "invalid_price"),
        (PLAIN | {"prompt": None}, "invalid_price"),
        (PLAIN | {"prompt": "-0.000001"}, "invalid_price"),
        (PLAIN | {"prompt": "-2"}, "invalid_price"),
        (PLAIN | {"prompt": "NaN"}, "invalid_price"),
        (PLAIN | {"prompt": "1e-6"}, "invalid_price"),
        (PLAIN | {"prompt": "０.１"}, "invalid_price"),
        (PLAIN | {"prompt": True}, "invalid_price"),
        (PLAIN | {"prompt": ["0.1"]}, "invalid_price"),
        (PLAIN | {"prompt": {"usd": "0.1"}}, "invalid_price"),
        (PLAIN | {"video_second": "0.1"}, "unknown_price_key"),
        (PLAIN | {"tiers": [{"up_to": 5}]}, "unknown_price_key"),
        (PLAIN | {"discount": "0.25"}, "unknown_price_key"),
        (PLAIN | {"overrides": {"min_prompt_tokens": 1}}, "unknown_condition"),
        (PLAIN | {"overrides": ["x"]}, "unknown_condition"),
        (PLAIN | {"overrides": [{"prompt": "0.1"}]}, "unknown_condition"),
        (PLAIN | {"overrides": [{"utc_days": ["mon"], "prompt": "0.1"}]}, "unknown_condition"),
        (PLAIN | {"overrides": [{"utc_days": None, "min_prompt_tokens": 1, "prompt": "0.1"}]}, "unknown_condition"),
        (PLAIN | {"overrides": [{"min_prompt_tokens": 1, "prompt": "-1"}]}, "invalid_price"),
        (PLAIN | {"overrides": [{"min_prompt_tokens": 1, "prompt": ["1"]}]}, "invalid_price"),
    ],
)
def test_one_bad_price_quarantines_that_model_only(pricing: Any, code: str) -> None:
    model = model_with(pricing)
    assert model.kind == PriceKind.QUARANTINED
    assert model.quarantine_code == code
    assert 0 < len(model.quarantine_reason) <= 300
    assert (model.components, model.overrides) == ({}, ())


def test_a_long_reason_is_cut_to_what_a_column_holds() -> None:
    model = model_with(PLAIN | {"x" * 5000: "1"})
    assert (model.quarantine_code, len(model.quarantine_reason)) == ("unknown_price_key", 300)


@pytest.mark.parametrize(
    ("literal", "text"),
    [("0.000003", "0.000003"), ("0.00000008333333333333334", "0.00000008333333333333334"), ("0", "0"), ("12", "12")],
)
def test_a_json_number_stands_for_its_own_literal(literal: str, text: str) -> None:
    model = model_with_literal(f'{{"prompt":{literal},"completion":"0"}}')
    assert model.kind == PriceKind.LISTED
    assert model.components["prompt"] == text
    assert model.listed_pricing == {"prompt": text, "completion": "0"}
    cost = PriceSheet.parse(model.components).cost(Quantities(prompt=1), at=NOON)
    assert cost.total_usd == Decimal(literal)


@pytest.mark.parametrize("literal", ["3e-6", "1E0", "-0.5", "-0.0", "1.0e5", "1" * 21, "1" * 5000, "0." + "1" * 29])
def test_a_json_number_that_is_no_plain_decimal_is_quarantined(literal: str) -> None:
    model = model_with_literal(f'{{"prompt":{literal},"completion":"0"}}')
    assert (model.kind, model.quarantine_code) == (PriceKind.QUARANTINED, "invalid_price")
    assert model.listed_pricing["prompt"] == literal


def test_conditions_may_be_written_as_any_whole_number() -> None:
    model = model_with_literal(
        '{"prompt":"1","completion":"1","image":null,"overrides":[{"min_prompt_tokens":200000.0,"utc_start":100,'
        '"utc_end":"0400","prompt":0.5,"completion":null},{"min_prompt_tokens":7,"utc_start":null,"prompt":"2"}]}'
    )
    assert model.kind == PriceKind.LISTED
    assert model.components == {"prompt": "1", "completion": "1"}
    assert model.overrides == (
        {"prompt": "0.5", "min_prompt_tokens": 200000, "utc_start": 100, "utc_end": "0400"},
        {"prompt": "2", "min_prompt_tokens": 7},
    )
    assert json.loads(json.dumps(model.overrides)) == list(model.overrides)
    assert PriceSheet.parse(model.components, model.overrides).cost(Quantities(prompt=8), at=NOON).total_usd == 16


@pytest.mark.parametrize("threshold", ["2.5", "2e5", "-1", '"many"', "true", "[1]", "1e400"])
def test_a_threshold_that_is_no_whole_number_is_quarantined(threshold: str) -> None:
    model = model_with_literal(
        f'{{"prompt":"1","completion":"1","overrides":[{{"min_prompt_tokens":{threshold},"prompt":"2"}}]}}'
    )
    assert (model.kind, model.quarantine_code) == (PriceKind.QUARANTINED, "unknown_condition")


def test_a_base_price_that_the_hour_hides_is_quarantined_and_comes_back_later() -> None:
    window = {"utc_start": 1630, "utc_end": 30, "prompt": "0.000003", "completion": "0.000015"}
    inside, outside = NOON.replace(hour=20), NOON
    hidden = model_with(PLAIN | {"overrides": [window]}, at=inside)
    assert (hidden.kind, hidden.quarantine_code) == (PriceKind.QUARANTINED, "hidden_base_price")
    assert hidden.quarantine_reason.startswith("completion, prompt: ")
    by_day = {"prompt": "0.000006", "completion": "0.00003", "overrides": [window]}
    assert model_with(by_day, at=outside).kind == PriceKind.LISTED
    rest_of_the_day = {"utc_start": 30, "utc_end": 1630, "prompt": "0.000006", "completion": "0.00003"}
    assert model_with(PLAIN | {"overrides": [window, rest_of_the_day]}, at=inside).kind == PriceKind.LISTED


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"\xff\xfe{}", "not_text"),
        (b"<!DOCTYPE html><html></html>", "html"),
        (b"\n <html>", "html"),
        (b'{"data":[{"id":"x/y","pricing":{"prompt":"0.1', "truncated"),
        (b'{"data":[{"id":"x/y","pricing":{"prompt":"0.1"}}', "truncated"),
        (b'{"data":[{"id":', "truncated"),
        (b'{"data":[]} trailing', "not_json"),
        (b"{'data':[]}", "not_json"),
        (b'{"data":[{"id":"a\nb"}]}', "not_json"),
        (b'{"data":[{"id":"x/y","id":"x/z"}]}', "duplicate_key"),
        (b'{"data":[{"id":"x/y","pricing":{"prompt":"1","prompt":"2"}}]}', "duplicate_key"),
        (b'{"data":[{"id":"x/y","created":NaN}]}', "not_a_number"),
        (b'{"data":[{"id":"x/y","created":-Infinity}]}', "not_a_number"),
        (b"[" * 2000, "too_deep"),
        (b'{"data":' + b"[" * 2000 + b"]" * 2000 + b"}", "too_deep"),
        (b'{"data":[{"id":"x/y","x":' + b"[" * 60 + b"]" * 60 + b"}]}", "too_deep"),
        (b'{"data":' + b'{"a":' * 100_000, "too_deep"),
        (b"[]", "no_data"),
        (b"null", "no_data"),
        (b'"data"', "no_data"),
        (b"{}", "no_data"),
        (b'{"data":{}}', "no_data"),
        (b'{"data":null}', "no_data"),
        (b'{"error":{"message":"No auth credentials found","code":401}}', "no_data"),
        (b'{"data":[]}', "no_models"),
        (b'{"data":[5]}', "bad_entry"),
        (b'{"data":[{"id":"x/y"},null]}', "bad_entry"),
        (b'{"data":[{}]}', "bad_id"),
        (b'{"data":[{"id":null}]}', "bad_id"),
        (b'{"data":[{"id":5}]}', "bad_id"),
        (b'{"data":[{"id":5.5}]}', "bad_id"),
        (b'{"data":[{"id":""}]}', "bad_id"),
        (b'{"data":[{"id":"a b"}]}', "bad_id"),
        (b'{"data":[{"id":"a\\u00a0b"}]}', "bad_id"),
        (b'{"data":[{"id":"a\\u0000b"}]}', "bad_id"),
        (b'{"data":[{"id":"a\\ud800"}]}', "bad_id"),
        (b'{"data":[{"id":"a\\u202eb"}]}', "bad_id"),
        (b'{"data":[{"id":"' + b"x" * 201 + b'"}]}', "bad_id"),
        (b'{"data":[{"id":"x/y"},{"id":"x/z"},{"id":"x/y"}]}', "duplicate_id"),
    ],
)
def test_a_body_that_is_no_listing_is_refused_whole(body: bytes, code: str) -> None:
    with pytest.raises(ListingError) as refused:
        parse_listing(body, at=NOON)
    assert refused.value.code == code
    assert 10 < len(str(refused.value)) < 400


def test_the_refusal_says_what_was_wrong() -> None:
    with pytest.raises(ListingError, match=r"data\[1\] has no usable id"):
        parse_listing(b'{"data":[{"id":"x/y"},{"id":""}]}', at=NOON)
    with pytest.raises(ListingError, match=r"more than once: x/y"):
        parse_listing(b'{"data":[{"id":"x/y"},{"id":"x/y"}]}', at=NOON)
    with pytest.raises(ListingError, match=r"cut off"):
        parse_listing(b'{"data":[{"id":"x/', at=NOON)


def test_half_of_the_real_listing_is_cut_off_wherever_it_ends() -> None:
    body = shared_data("openrouter-models-2026-05-12.json").read_bytes()
    for end in range(1000, len(body) - 2, len(body) // 40):
        with pytest.raises(ListingError) as refused:
            parse_listing(body[:end], at=NOON)
        assert refused.value.code == "truncated"


def test_every_cut_of_a_small_listing_is_recognised() -> None:
    text = '{"data":[{"id":"x/y","a":-1.5e+10,"b":true,"c":false,"d":null,"e":"\\u00e9\\n\\"","f":"정","g":[1,2.5]}]}\n'
    body = text.encode()
    assert len(parse_listing(body, at=NOON).models) == 1
    for end in range(1, len(body) - 2):
        with pytest.raises(ListingError) as refused:
            parse_listing(body[:end], at=NOON)
        assert refused.value.code == "truncated", body[:end]


def test_a_byte_order_mark_is_no_error() -> None:
    assert len(parse_listing(b'\xef\xbb\xbf{"data":[{"id":"x/y"}]}', at=NOON).models) == 1


def test_the_moment_needs_a_time_zone() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        parse_listing(b"{}", at=datetime(2026, 5, 12))  # noqa: DTZ001
