"""Real usage objects: ours must say what the upstream charged, and what another engine read in the same bodies."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from catalog.listing import ListedModel, parse_listing
from catalog.money import EXACT
from catalog.pricing import Cost, PriceSheet
from tests.shared import shared_data
from usage.dialects import DIALECTS, Reading, UsageRefused, read_usage

AT = datetime(2026, 5, 12, 12, tzinfo=UTC)
NOISE = Decimal("1e-12")  # the upstream states its amounts as doubles

# Not in the listing of 2026-05; its list price at the time of recording.
GPT_56_SOL = PriceSheet.parse(
    {
        "prompt": "0.000005",
        "completion": "0.00003",
        "input_cache_read": "0.0000005",
        "input_cache_write": "0.00000625",
    }
)

# Open-weight models that many providers serve at many prices: the listing shows another provider's price than the one
# that answered. What was charged, in USD per token of prompt and completion:
CHARGED_BY_ANOTHER_PROVIDER = {
    "z-ai/glm-4.6": (Decimal("0.0000006"), Decimal("0.0000022")),
    "qwen/qwen3-30b-a3b-instruct-2507": (Decimal("0.0000001"), Decimal("0.0000003")),
}


def recorded_cases() -> list[dict[str, Any]]:
    text = shared_data("openrouter_recorded_usage.json").read_text(encoding="utf-8")
    cases: list[dict[str, Any]] = json.loads(text, parse_float=Decimal)["cases"]
    return cases


@cache
def listed_models() -> dict[str, ListedModel]:
    """Models of the real listing by id and, for names that are no id, by canonical slug; variants never win."""
    listing = parse_listing(shared_data("openrouter-models-2026-05-12.json").read_bytes(), at=AT)
    by_slug = {model.canonical_slug: model for model in listing.models if ":" not in model.model_id}
    return by_slug | {model.model_id: model for model in listing.models}


def sheet_of(model: str) -> PriceSheet:
    if model == "openai/gpt-5.6-sol":
        return GPT_56_SOL
    listed = listed_models()[model]
    return PriceSheet.parse(listed.components, listed.overrides)


def charged_for_tokens(usage: dict[str, Any]) -> Decimal:
    """What the provider charged for the tokens; the chat and the responses shape name it differently."""
    details = usage["cost_details"]
    if "upstream_inference_prompt_cost" in details:
        parts = details["upstream_inference_prompt_cost"], details["upstream_inference_completions_cost"]
    else:
        parts = details["upstream_inference_input_cost"], details["upstream_inference_output_cost"]
    return EXACT.add(Decimal(parts[0]), Decimal(parts[1]))


@dataclass(frozen=True)
class Recorded:
    model: str
    usage: dict[str, Any]
    reading: Reading
    cost: Cost

    @property
    def drift_usd(self) -> Decimal:
        """What the upstream charged for the tokens beyond our cost; binary noise is none."""
        drift = EXACT.subtract(charged_for_tokens(self.usage), self.cost.total_usd)
        return drift if abs(drift) > NOISE else Decimal(0)


def recorded() -> Iterator[Recorded]:
    for case in recorded_cases():
        reading = read_usage("openrouter", case["usage"])
        cost = sheet_of(case["model"]).cost(reading.quantities, at=AT)
        yield Recorded(case["model"], case["usage"], reading, cost)


def test_our_cost_is_what_the_upstream_charged_for_the_tokens() -> None:
    drifting = Counter(case.model for case in recorded() if case.drift_usd)
    assert set(drifting) <= set(CHARGED_BY_ANOTHER_PROVIDER)
    assert len(recorded_cases()) - drifting.total() == 21


def test_the_known_mismatch_shows_as_drift_of_the_exact_amount() -> None:
    drifting = [case for case in recorded() if case.drift_usd]
    assert [case.model for case in drifting] == ["z-ai/glm-4.6"]
    (case,) = drifting
    assert (case.reading.quantities.prompt, case.reading.quantities.completion) == (16, 2)
    assert case.cost.total_usd == Decimal("0.00001036")  # 0.43 and 1.74 dollars a million
    assert charged_for_tokens(case.usage) == Decimal("0.000014")  # 0.60 and 2.20
    assert case.drift_usd == Decimal("0.00000364")


@pytest.mark.parametrize(
    ("model", "listed", "charged"),
    [("z-ai/glm-4.6", "0.00001036", "0.000014"), ("qwen/qwen3-30b-a3b-instruct-2507", "0.00000204", "0.0000022")],
)
def test_models_of_many_providers_cost_more_than_their_list_price(model: str, listed: str, charged: str) -> None:
    """Both known cases at 16 prompt and 2 completion tokens: +35 % and +8 %."""
    usage = {"prompt_tokens": 16, "completion_tokens": 2, "total_tokens": 18}
    quantities = read_usage("openrouter", usage).quantities
    assert sheet_of(model).cost(quantities, at=AT).total_usd == Decimal(listed)
    prompt_price, completion_price = CHARGED_BY_ANOTHER_PROVIDER[model]
    assert 16 * prompt_price + 2 * completion_price == Decimal(charged)


def test_a_model_that_the_listing_lacks_is_priced_at_its_own_list_price() -> None:
    (case,) = (case for case in recorded() if case.model == "openai/gpt-5.6-sol")
    assert case.cost.total_usd == Decimal("0.002196")
    assert case.reading.upstream_cost_usd == Decimal("0.002196")
    assert [(row.key, row.quantity) for row in case.cost.components] == [
        ("prompt", 8),
        ("input_cache_read", 4012),
        ("completion", 5),
    ]


def test_nothing_is_odd_about_the_recorded_bodies() -> None:
    for case in recorded():
        assert case.reading.flags == (), case.model
        assert case.cost.unpriced == ()
        assert case.reading.quantities.prompt + case.reading.quantities.completion == case.usage["total_tokens"]


def test_what_was_charged_beside_the_tokens_is_in_the_upstream_cost_only() -> None:
    """An advisor tool and a file parser are charged on top, and with our own key the provider charges us itself."""
    beside: dict[str, Decimal] = {}
    for case in recorded():
        assert case.reading.upstream_cost_usd is not None
        extra = EXACT.subtract(case.reading.upstream_cost_usd, charged_for_tokens(case.usage))
        if abs(extra) > NOISE:
            beside[case.model] = round(extra, 12)
    assert beside == {
        "openai/gpt-4o-mini": Decimal("0.015885"),
        "openai/gpt-5.1-codex-mini": Decimal("0.002"),
    }
    by_own_key = [case for case in recorded() if case.usage.get("is_byok")]
    assert [case.usage["cost"] for case in by_own_key] == [0]
    assert [case.reading.upstream_cost_usd for case in by_own_key] == [Decimal("0.0003253")]


# The bodies of all providers. `extracted` holds, per provider and API flavour of the other engine, what it read.
# These flavours are our dialects; every other flavour differs from one of them only in details that the engine leaves
# unread (Cerebras, Perplexity, ...) or is no dialect of ours (Bedrock, Cohere). The engine reads a body in every
# flavour whose total counts it finds, also in one that did not write it.
FLAVOURS = {
    ("openai", "chat"): "openai_chat",
    ("openai", "responses"): "openai_responses",
    ("openrouter", "chat"): "openrouter",
    ("anthropic", "default"): "anthropic_messages",
    ("google", "default"): "gemini",
}


def bodies() -> list[dict[str, Any]]:
    text = shared_data("provider_usage_bodies.json").read_text(encoding="utf-8")
    loaded: list[dict[str, Any]] = json.loads(text, parse_float=Decimal)
    return loaded


def usage_of(body: dict[str, Any]) -> dict[str, Any]:
    usage: dict[str, Any] = body.get("usage") or body.get("usageMetadata") or body["meta"]
    return usage


def own_dialects(usage: dict[str, Any]) -> tuple[str, ...]:
    """The dialects that wrote a body of this shape; none for Bedrock (camelCase) and Cohere (billed units)."""
    if "promptTokenCount" in usage:
        return ("gemini",)
    if "prompt_tokens" in usage:
        return ("openai_chat", "openrouter")
    if "cache_creation_input_tokens" in usage:
        return ("anthropic_messages", "openrouter")
    if "input_tokens" in usage:
        return ("openai_responses", "openrouter")
    return ()


def expected_by_dialect(case: dict[str, Any]) -> dict[str, dict[str, int]]:
    return {
        FLAVOURS[extractor["provider_id"], extractor["api_flavor"]]: entry["usage"]
        for entry in case["extracted"]
        for extractor in entry["extractors"]
        if (extractor["provider_id"], extractor["api_flavor"]) in FLAVOURS
    }


def counts_of(reading: Reading, expected: dict[str, int], usage: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Our counts and the other engine's, side by side."""
    read = reading.quantities
    cache_read = expected.get("cache_read_tokens", 0)
    if "num_cached_tokens" in usage:  # Mistral's spelling, which the other engine leaves unread
        cache_read = usage["num_cached_tokens"]
    ours = [read.prompt, read.completion, read.cache_read, read.cache_write, read.cache_write_1h, read.image_output]
    theirs = [
        expected["input_tokens"],
        expected.get("output_tokens", 0),
        cache_read,
        expected.get("cache_write_tokens", 0),
        expected.get("cache_write_1h_tokens", 0),
        expected.get("output_image_tokens", 0),
    ]
    return ours, theirs


def test_every_body_is_read_in_its_own_dialect_as_the_other_engine_read_it() -> None:
    compared: Counter[str] = Counter()
    unread = 0
    for case in bodies():
        usage, expected = usage_of(case["body"]), expected_by_dialect(case)
        unread += not own_dialects(usage)
        for dialect in own_dialects(usage):
            reading = read_usage(dialect, usage)
            written_as = dialect if dialect in expected else own_dialects(usage)[0]
            ours, theirs = counts_of(reading, expected[written_as], usage)
            assert ours == theirs, case["body"]["file"]
            reasoning = expected[written_as].get("output_reasoning_tokens")
            assert reasoning in (None, reading.quantities.reasoning), case["body"]["file"]
            audio = expected[written_as].get("input_audio_tokens", 0)
            cached_audio = expected[written_as].get("cache_audio_read_tokens", 0)
            assert reading.quantities.audio_input == audio - cached_audio, case["body"]["file"]
            assert reading.flags == (), case["body"]["file"]
            compared[dialect] += 1
    assert compared == {
        "gemini": 137,
        "openai_chat": 97,
        "openai_responses": 60,
        "anthropic_messages": 51,
        "openrouter": 208,
    }
    assert unread == 55  # 51 Bedrock, 4 Cohere


def test_bodies_that_no_dialect_of_ours_wrote_are_refused_by_each() -> None:
    for case in bodies():
        usage = usage_of(case["body"])
        if not own_dialects(usage):
            for dialect in DIALECTS:
                with pytest.raises(UsageRefused, match=r"^usage: has no token counts$"):
                    read_usage(dialect, usage)


def test_a_body_in_a_foreign_dialect_is_refused_or_read_alike_but_never_past_its_cache() -> None:
    """Where the other engine reads cache counts past, this one refuses: the amounts would be wrong by up to 100 %."""
    outcomes: Counter[str] = Counter()
    for case in bodies():
        usage, expected = usage_of(case["body"]), expected_by_dialect(case)
        for dialect in set(DIALECTS) - set(own_dialects(usage)):
            try:
                reading = read_usage(dialect, usage)
            except UsageRefused as refused:
                cache_counts_elsewhere = "belongs to another dialect" in refused.reason
                outcomes["refused for cache counts" if cache_counts_elsewhere else "refused for totals"] += 1
                continue
            ours, theirs = counts_of(reading, expected[dialect], usage)
            assert ours == theirs, case["body"]["file"]
            outcomes["read alike"] += 1
    assert outcomes == {"read alike": 103, "refused for totals": 1336, "refused for cache counts": 8}
