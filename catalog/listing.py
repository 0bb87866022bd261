"""Reading an OpenRouter-shaped `/models` answer: which models it lists, and at which prices.

A body that is not wholly a listing (a web page, half an answer, two models of one id) is refused as a whole, because
then nothing in it can be trusted. A single model whose prices are unknown or impossible is quarantined with a reason
and takes nobody else down. Numbers are kept as the text that stood in the answer; no float comes near a price.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from .pricing import CONDITION_KEYS, PRICE_KEYS, PriceError, PriceSheet

MAX_ID_LENGTH = 200
_MAX_NAME_LENGTH = 300
_MAX_REASON_LENGTH = 300
_MAX_DEPTH = 50  # a real entry nests four levels deep
_MAX_INTEGER_DIGITS = 18
_LAST_SECOND = 253_402_300_799  # of the year 9999
_MAX_CONTEXT_TOKENS = 10**12
_VARIABLE = re.compile(r"-1(\.0+)?")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # what PostgreSQL and UTF-8 cannot hold
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# What may stand where the reader stopped if the body was cut off there: nothing, or the beginning of a token.
_CUT_TOKEN = re.compile(r"\s*|-|\.\d*|(\.\d+)?[eE][+-]?|t(ru?)?|f(a(ls?)?)?|n(ul?)?|\\?u?[0-9a-fA-F]{0,4}")
_OWN_FIELDS = frozenset({"id", "canonical_slug", "name", "description", "created", "context_length", "pricing"})


class ListingError(ValueError):
    """A body that is no listing; nothing of it may be used. `code` is stable, the message says what was found."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class PriceKind(StrEnum):
    """What a listing says about a model's price."""

    LISTED = "listed"
    VARIABLE = "variable"  # "-1": a router, whose answers are priced at the model that is named in them
    QUARANTINED = "quarantined"


@dataclass(frozen=True)
class ListedModel:
    """One entry of a listing.

    `components` (USD per unit) and `overrides` are what PriceSheet.parse takes, and empty unless `kind` is LISTED;
    `listed_pricing` is the price object as it came, numbers as text. `rest` holds all other fields as they came.
    """

    model_id: str
    canonical_slug: str  # not unique in a listing: variants share it
    name: str
    description: str
    created: int | None  # Unix seconds
    context_length: int | None  # tokens
    kind: PriceKind
    components: Mapping[str, str]
    overrides: tuple[Mapping[str, Any], ...]
    listed_pricing: Any
    quarantine_code: str  # a PriceError code, or "" unless quarantined
    quarantine_reason: str
    rest: Mapping[str, Any]

    @property
    def hugging_face_id(self) -> str | None:
        """The checkpoint's name, or None."""
        value = self.rest.get("hugging_face_id")
        return value if isinstance(value, str) and value else None

    @property
    def architecture(self) -> Mapping[str, Any]:
        """Modalities and tokenizer, as listed."""
        return _mapping(self.rest.get("architecture"))

    @property
    def top_provider(self) -> Mapping[str, Any]:
        """Limits of the provider that is asked first, as listed."""
        return _mapping(self.rest.get("top_provider"))

    @property
    def default_parameters(self) -> Mapping[str, Any]:
        """Sampling defaults, as listed."""
        return _mapping(self.rest.get("default_parameters"))

    @property
    def per_request_limits(self) -> Mapping[str, Any]:
        """Limits of a request, as listed; empty when there are none."""
        return _mapping(self.rest.get("per_request_limits"))

    @property
    def supported_parameters(self) -> tuple[str, ...]:
        """Names of the request parameters that the model takes."""
        value = self.rest.get("supported_parameters")
        return tuple(name for name in value if isinstance(name, str)) if isinstance(value, list) else ()

    @property
    def expiration_date(self) -> str | None:
        """The day from which the model is gone, as listed, or None."""
        value = self.rest.get("expiration_date")
        return value if isinstance(value, str) and value else None


@dataclass(frozen=True)
class Listing:
    """All models of one answer, in its order; at least one."""

    models: tuple[ListedModel, ...]


class _Number(str):
    """A JSON number that is no small integer, as the text that stood in the body."""

    __slots__ = ()


class _Pricing(NamedTuple):
    """What one price object comes to."""

    kind: PriceKind
    components: Mapping[str, str]
    overrides: tuple[Mapping[str, Any], ...]
    error: PriceError | None


def parse_listing(body: bytes, *, at: datetime) -> Listing:
    """Read the body of a `/models` answer that was fetched `at` (aware).

    Raises ListingError, with one of the codes empty, not_text, html, truncated, not_json, duplicate_key,
    not_a_number, too_deep, no_data, no_models, bad_entry, bad_id and duplicate_id.
    """
    if at.utcoffset() is None:
        raise ValueError("at: has no time zone")
    document = _parse_json(body)
    entries = document.get("data") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        is_error = isinstance(document, dict) and "error" in document
        what = "an error answer" if is_error else "JSON, but it has no `data` list"
        raise ListingError("no_data", f"The body is {what}; a model listing was expected.")
    if not entries:
        raise ListingError("no_models", "The listing holds no models.")
    ids = [_model_id(entry, index) for index, entry in enumerate(entries)]
    repeated = sorted(model_id for model_id, times in Counter(ids).items() if times > 1)
    if repeated:
        raise ListingError("duplicate_id", f"The listing names models more than once: {_some(repeated)}.")
    return Listing(tuple(_listed_model(model_id, entry, at) for model_id, entry in zip(ids, entries, strict=True)))


def _parse_json(body: bytes) -> Any:
    """The JSON document, refusing what other readers would silently take one way or another."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":
            raise _truncated(len(body)) from None
        raise ListingError("not_text", f"The body is not UTF-8 text (byte {error.start}).") from None
    if not text.strip():
        raise ListingError("empty", "The body is empty.")
    if text.lstrip().startswith("<"):
        raise ListingError("html", "The body is a web page (HTML), not JSON.")
    try:
        document = json.loads(
            text,
            parse_int=_integer,
            parse_float=_Number,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
        return _storable(document, 0)
    except json.JSONDecodeError as error:
        if error.msg.startswith("Unterminated string") or _CUT_TOKEN.fullmatch(text, error.pos):
            raise _truncated(len(body)) from None
        raise ListingError("not_json", f"The body is not JSON: {error}.") from None
    except RecursionError:
        raise ListingError("too_deep", "The body nests deeper than any model listing does.") from None


def _truncated(length: int) -> ListingError:
    return ListingError("truncated", f"The body ends in the middle of the JSON, after {length} bytes: it was cut off.")


def _integer(text: str) -> int | _Number:
    return int(text) if len(text) <= _MAX_INTEGER_DIGITS else _Number(text)


def _refuse_constant(name: str) -> None:
    raise ListingError("not_a_number", f"The body holds {name}, which is not JSON.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        repeated = sorted(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise ListingError("duplicate_key", f"An object in the body has a key twice: {_some(repeated)}.")
    return document


def _storable(value: Any, depth: int) -> Any:
    """The document with characters replaced that no UTF-8 text column can hold. Numbers stay as they are."""
    if depth > _MAX_DEPTH:
        raise RecursionError
    if isinstance(value, dict):
        return {_storable(key, depth + 1): _storable(entry, depth + 1) for key, entry in value.items()}
    if isinstance(value, list):
        return [_storable(entry, depth + 1) for entry in value]
    if isinstance(value, str) and not isinstance(value, _Number):
        return _UNSTORABLE.sub(_REPLACEMENT, value)
    return value


def _model_id(entry: Any, index: int) -> str:
    if not isinstance(entry, dict):
        raise ListingError("bad_entry", f"data[{index}] is not an object.")
    model_id = entry.get("id")
    if not _is_identifier(model_id):
        raise ListingError("bad_id", f"data[{index}] has no usable id (1 to {MAX_ID_LENGTH} characters, no spaces).")
    return str(model_id)


def _is_identifier(value: Any) -> bool:
    return (
        isinstance(value, str)
        and not isinstance(value, _Number)
        and 1 <= len(value) <= MAX_ID_LENGTH
        and value.isprintable()
        and not any(character.isspace() or character == _REPLACEMENT for character in value)
    )


def _listed_model(model_id: str, entry: Mapping[str, Any], at: datetime) -> ListedModel:
    slug, name, description = entry.get("canonical_slug"), entry.get("name"), entry.get("description")
    pricing = _read_pricing(entry.get("pricing"), at)
    return ListedModel(
        model_id=model_id,
        canonical_slug=str(slug) if _is_identifier(slug) else model_id,
        name=name[:_MAX_NAME_LENGTH] if isinstance(name, str) and name.strip() else model_id,
        description=description if isinstance(description, str) else "",
        created=_natural(entry.get("created"), _LAST_SECOND),
        context_length=_natural(entry.get("context_length"), _MAX_CONTEXT_TOKENS),
        kind=pricing.kind,
        components=pricing.components,
        overrides=pricing.overrides,
        listed_pricing=_numbers_as_text(entry.get("pricing")),
        quarantine_code=pricing.error.code if pricing.error else "",
        quarantine_reason=str(pricing.error)[:_MAX_REASON_LENGTH] if pricing.error else "",
        rest={key: _numbers_as_float(value) for key, value in entry.items() if key not in _OWN_FIELDS},
    )


def _read_pricing(pricing: Any, at: datetime) -> _Pricing:
    """Prices that can be used, the note that there is none ("-1"), or the reason for quarantine."""
    try:
        if not isinstance(pricing, dict):
            raise PriceError("invalid_price", "pricing", "pricing: the model lists no prices")
        if any(_is_variable(value) for key, value in pricing.items() if key != "overrides"):
            return _Pricing(PriceKind.VARIABLE, {}, (), None)
        components = _price_texts({key: value for key, value in pricing.items() if key != "overrides"})
        overrides = _read_overrides(pricing.get("overrides"))
        hidden = PriceSheet.parse(components, overrides).hidden_base_keys(at)
        if hidden:
            message = f"{_some(hidden)}: the listing shows the price of this hour's window only, not the one outside it"
            raise PriceError("hidden_base_price", hidden[0], message)
    except PriceError as error:
        return _Pricing(PriceKind.QUARANTINED, {}, (), error)
    return _Pricing(PriceKind.LISTED, components, overrides, None)


def _read_overrides(overrides: Any) -> tuple[Mapping[str, Any], ...]:
    if overrides is None:
        return ()
    if not isinstance(overrides, list) or not all(isinstance(override, dict) for override in overrides):
        raise PriceError("unknown_condition", "overrides", "overrides: not a list of objects")
    return tuple(
        _price_texts({key: value for key, value in override.items() if key in PRICE_KEYS})
        | {
            key: _condition(value)
            for key, value in override.items()
            if key not in PRICE_KEYS and not (key in CONDITION_KEYS and value is None)
        }
        for override in overrides
    )


def _is_variable(value: Any) -> bool:
    return _is_number(value) and _VARIABLE.fullmatch(str(value)) is not None


def _price_texts(pricing: Mapping[str, Any]) -> dict[str, str]:
    """Prices as text, where a JSON number stands for the literal that was in the body and null for no price."""
    texts: dict[str, str] = {}
    for key, value in pricing.items():
        if key not in PRICE_KEYS:
            raise PriceError("unknown_price_key", key, f"{key}: not a price key that is known here")
        if value is not None:
            if not _is_number(value):
                kind = type(value).__name__
                raise PriceError("invalid_price", key, f"{key}: a price is a decimal number as text, not {kind}")
            texts[key] = str(value)
    return texts


def _is_number(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))


def _condition(value: Any) -> Any:
    """A condition as it came, except that 200000.0 becomes 200000: those fields are numbers in the listing."""
    if isinstance(value, _Number):
        whole, _, fraction = value.partition(".")
        if whole.isdigit() and len(whole) <= _MAX_INTEGER_DIGITS and fraction.strip("0") == "":
            return int(whole)
        return str(value)
    return value


def _natural(value: Any, limit: int) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= limit:
        return value
    return None


def _numbers_as_text(value: Any) -> Any:
    """A JSON value that can be stored as JSON again with every literal kept: numbers become their text."""
    if isinstance(value, dict):
        return {key: _numbers_as_text(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_numbers_as_text(entry) for entry in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return str(value) if isinstance(value, _Number) else value


def _numbers_as_float(value: Any) -> Any:
    """A JSON value outside the prices (temperatures, penalties), whose numbers are ordinary JSON numbers again."""
    if isinstance(value, dict):
        return {key: _numbers_as_float(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_numbers_as_float(entry) for entry in value]
    if isinstance(value, _Number):
        number = float(value)
        return number if abs(number) < float("inf") else str(value)
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _some(names: Iterable[str]) -> str:
    """The first few names, for a message."""
    shown = [name[:60] for name in names]
    more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
    return ", ".join(shown[:5]) + more
