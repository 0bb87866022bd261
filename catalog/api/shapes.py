"""A model in the shapes that clients expect. Fields follow OpenRouter's API description; prices stay as they are stored.

What an upstream listed beside the prices is stored as it came, so every field is checked here: one odd entry must not
make a client refuse the whole list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from catalog.api.answers import Json
from catalog.models import Model, Price, Provider
from catalog.money import decimal_text
from catalog.pricing import CONDITION_KEYS
from catalog.variants import Variant

#: Where OpenRouter's clients look; the same answers stand under /v1.
API_ROOT = "/api/v1"
#: What a router costs, by the convention of this field and of no other place.
VARIABLE_PRICING = {"prompt": "-1", "completion": "-1"}

#: The order in which price keys are shown. A discount is always 0 here (see PriceSheet) and so is not shown.
PRICE_ORDER = (
    "prompt",
    "completion",
    "request",
    "image",
    "image_token",
    "image_output",
    "audio",
    "audio_output",
    "input_audio_cache",
    "web_search",
    "internal_reasoning",
    "input_cache_read",
    "input_cache_write",
    "input_cache_write_1h",
)
_DEFAULT_PARAMETERS = (
    "temperature",
    "top_p",
    "top_k",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
)
_SAMPLING_PARAMETERS = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "top_a",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "stop",
    "seed",
    "max_tokens",
    "logit_bias",
)
#: Features of the provider listing, and the request parameters any of which shows that a model has them.
_FEATURES: Mapping[str, frozenset[str]] = {
    "tools": frozenset({"tools"}),
    "json_mode": frozenset({"response_format"}),
    "structured_outputs": frozenset({"structured_outputs"}),
    "reasoning": frozenset({"reasoning", "include_reasoning", "reasoning_effort"}),
    "logprobs": frozenset({"logprobs", "top_logprobs"}),
    "web_search": frozenset({"web_search_options"}),
}


def model_shape(model: Model, price: Price, *, provider: Provider) -> Json:
    """One entry of `/models`: OpenRouter's fields, and `object` and `owned_by` for OpenAI's clients."""
    listing = model.listing
    return {
        "id": model.model_id,
        "object": "model",
        "canonical_slug": model.canonical_slug,
        "hugging_face_id": _text(listing.get("hugging_face_id")),
        "name": model.name,
        "created": created(model),
        "owned_by": provider.slug,
        "description": model.description,
        "context_length": model.context_length,
        "architecture": architecture(model),
        "pricing": pricing_shape(price),
        "top_provider": _top_provider(model),
        "per_request_limits": _limits(listing.get("per_request_limits")),
        "supported_parameters": supported_parameters(model),
        "default_parameters": _defaults(listing.get("default_parameters")),
        "supported_voices": _texts(listing.get("supported_voices")),
        "knowledge_cutoff": _text(listing.get("knowledge_cutoff")),
        "expiration_date": _text(listing.get("expiration_date")),
        "links": {"details": f"{API_ROOT}/models/{quote(model.model_id, safe='/:~@')}/endpoints"},
    }


def detail_shape(
    entry: Json, variants: Sequence[Variant], *, routes_to: Sequence[str], called: Variant | None = None
) -> Json:
    """One model by name: its entry, and our own fields: the suffixes that it takes, and where a router leads.

    Asked for with a routing suffix (`called`), it is that name's entry, under which it is called.
    """
    base = entry["id"]
    rows = [
        {"id": f"{base}:{variant.suffix}", "suffix": variant.suffix, "description": variant.description}
        for variant in variants
    ]
    name = f"{base}:{called.suffix}" if called else base
    return {**entry, "id": name, "variants": rows, "routes_to": list(routes_to)}


def endpoints_shape(entry: Json, model: Model, price: Price, *, provider: Provider) -> Json:
    """Where a model is served: at one place, ours. A router has none of its own.

    Times and rates are null because nobody measures them here.
    """
    fields = ("id", "name", "created", "description", "architecture")
    endpoints = [] if price.kind == Price.Kind.VARIABLE else [_endpoint(entry, model, provider)]
    return {**{name: entry[name] for name in fields}, "endpoints": endpoints}


def provider_shape(provider: Provider) -> Json:
    """One entry of `/providers`; the addresses and places of others are not ours to vouch for, so they are null."""
    return {
        "name": provider.name,
        "slug": provider.slug,
        "privacy_policy_url": None,
        "terms_of_service_url": None,
        "status_page_url": None,
        "headquarters": None,
        "datacenters": None,
    }


def provider_listing_shape(model: Model, price: Price) -> Json:
    """One entry of `/models?format=openrouter`: the listing in which a marketplace reads what a provider serves.

    `max_output_length` is the context where nothing smaller is known.
    """
    shape = architecture(model)
    parameters = supported_parameters(model)
    return {
        "id": model.model_id,
        "hugging_face_id": _text(model.listing.get("hugging_face_id")),
        "name": model.name,
        "created": created(model),
        "input_modalities": shape["input_modalities"],
        "output_modalities": shape["output_modalities"],
        "quantization": model.quantization,
        "context_length": model.context_length,
        "max_output_length": _top_provider(model)["max_completion_tokens"] or model.context_length,
        "pricing": {
            key: value if key == "overrides" else decimal_text(Decimal(value))
            for key, value in pricing_shape(price).items()
        },
        "supported_sampling_parameters": [name for name in _SAMPLING_PARAMETERS if name in parameters],
        "supported_features": [name for name, shown_by in _FEATURES.items() if shown_by.intersection(parameters)],
        "is_ready": model.is_ready,
        "openrouter": {"slug": model.model_id},
        "datacenters": [{"country_code": code} for code in model.datacenters],
    }


def pricing_shape(price: Price) -> Json:
    """USD per token or unit, as strings exactly as stored, with `overrides` where prices depend on size or hour.

    Only keys that are listed: "0" means free, and a cache read or a search without a price of its own is not. The one
    exception is `request`, a fee that is 0 where none is listed.
    """
    if price.kind == Price.Kind.VARIABLE:
        return dict(VARIABLE_PRICING)
    components = {"request": "0", **price.components}
    shape: Json = {key: components[key] for key in PRICE_ORDER if key in components}
    if price.overrides:
        shape["overrides"] = [_override(override) for override in price.overrides]
    return shape


def architecture(model: Model) -> Json:
    """Modalities and tokenizer; text to text where the listing says nothing."""
    listed = _mapping(model.listing.get("architecture"))
    inputs, outputs = _texts(listed.get("input_modalities")), _texts(listed.get("output_modalities"))
    inputs, outputs = inputs or ["text"], outputs or ["text"]
    return {
        "modality": _text(listed.get("modality")) or f"{'+'.join(inputs)}->{'+'.join(outputs)}",
        "input_modalities": inputs,
        "output_modalities": outputs,
        "tokenizer": _text(listed.get("tokenizer")) or "Other",
        "instruct_type": _text(listed.get("instruct_type")),
    }


def supported_parameters(model: Model) -> list[str]:
    """Names of the request parameters that the model takes."""
    return _texts(model.listing.get("supported_parameters")) or []


def created(model: Model) -> int:
    """When the model appeared upstream, or else here; Unix seconds."""
    return int((model.listed_at or model.created_at).timestamp())


def _endpoint(entry: Json, model: Model, provider: Provider) -> Json:
    limits = entry["top_provider"]
    chooses_tools = "tool_choice" in entry["supported_parameters"]
    return {
        "name": f"{provider.name} | {model.model_id}",
        "model_id": model.model_id,
        "model_name": model.name,
        "context_length": limits["context_length"] or model.context_length or 0,
        "pricing": entry["pricing"],
        "provider_name": provider.name,
        "tag": provider.slug,
        "quantization": model.quantization,
        "max_completion_tokens": limits["max_completion_tokens"],
        "max_prompt_tokens": None,
        "supported_parameters": entry["supported_parameters"],
        "supports_tool_choice": dict.fromkeys(("auto", "function", "none", "required"), chooses_tools),
        "supports_implicit_caching": False,
        "supports_diarization": False,
        "native_tools": {},
        "service_tier": None,
        "status": 0,
        "uptime_last_5m": None,
        "uptime_last_30m": None,
        "uptime_last_1d": None,
        "latency_last_30m": None,
        "throughput_last_30m": None,
    }


def _override(override: Mapping[str, Any]) -> Json:
    """Prices as stored; conditions as the numbers that they are, also where a listing wrote them as text."""
    prices = {key: override[key] for key in PRICE_ORDER if key in override}
    return {key: int(override[key]) for key in sorted(CONDITION_KEYS & override.keys())} | prices


def _top_provider(model: Model) -> Json:
    listed = _mapping(model.listing.get("top_provider"))
    return {
        "context_length": _whole(listed.get("context_length")),
        "max_completion_tokens": _whole(listed.get("max_completion_tokens")),
        "is_moderated": listed.get("is_moderated") is True,
    }


def _limits(value: Any) -> Json | None:
    limits = {name: _number(_mapping(value).get(name)) for name in ("prompt_tokens", "completion_tokens")}
    return None if None in limits.values() else limits


def _defaults(value: Any) -> Json | None:
    if not isinstance(value, dict):
        return None
    defaults = {name: _number(value[name]) for name in _DEFAULT_PARAMETERS if name in value}
    if "top_k" in defaults:
        defaults["top_k"] = _whole(value["top_k"])
    return defaults


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(value: Any) -> list[str] | None:
    if not isinstance(value, list):
        return None
    return list(dict.fromkeys(text for text in value if isinstance(text, str) and text))


def _number(value: Any) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(value: Any) -> int | None:
    return (
        int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value == int(value) else None
    )
