"""What a request asks for, as far as money goes; and the request again, as it goes to an upstream.

A JSON body is taken apart at its top level only, and put together again from the very bytes of its members: an upstream
never sees a second `model` that was not metered. Nothing of it is kept once it was sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import msgspec

from gateway.calls import CallRefused
from gateway.estimates import worst_prompt_tokens

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_FORM_BYTES = 26 * 1024 * 1024  # OpenAI takes audio files of 25 MB
MAX_MODELS = 10
MAX_NAME_CHARS = 200
MAX_TOKENS = 100_000_000
MAX_ANSWERS = 128
_LIKELY_SEARCHES = 10  # of a tool that may search as often as it likes
_MAX_FORM_PARTS = 100
_MAX_FORM_FIELD_BYTES = 10_000

#: Where a route's body limits its answer; the first is the one that is written where a limit was granted.
_LIMITS: Mapping[str, tuple[str, ...]] = {
    "chat/completions": ("max_tokens", "max_completion_tokens"),
    "completions": ("max_tokens",),
    "responses": ("max_output_tokens",),
    "messages": ("max_tokens",),
}
#: A second one of these would be another call than the one that was admitted.
_COSTLY = (
    "model", "models", "max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of", "stream",
    "stream_options", "usage", "background", "plugins", "tools", "messages", "input", "prompt", "service_tier",
)  # fmt: skip
_COSTLY_NAME = re.compile(rb'"(%s)"\s*:' % "|".join(_COSTLY).encode())
_USAGE_ROUTES = frozenset({"chat/completions", "completions"})
_RAW_TRUE = msgspec.Raw(b"true")
_TOP_LEVEL = msgspec.json.Decoder(type=dict[str, msgspec.Raw])


@dataclass(slots=True)
class Ask:
    """One request. `members` is a JSON body's top level, None for a form, which goes on as it came (`raw`)."""

    route: str
    raw: bytes = field(repr=False)
    content_type: str
    members: dict[str, msgspec.Raw] | None = field(repr=False)
    model: str
    models: tuple[str, ...] = ()
    is_stream: bool = False
    wants_usage: bool = False
    max_tokens: int | None = None
    n: int = 1
    images: int = 0
    web_searches: int = 0
    prompt_tokens_worst: int | None = None

    @property
    def size(self) -> int:
        """Bytes of the body as it was received."""
        return len(self.raw)

    def drop(self) -> None:
        """Forget the body: nobody will be asked again."""
        self.raw, self.members = b"", None

    def body_for(self, dialect: str, granted_max_tokens: int | None) -> bytes:
        """The request as the upstream gets it: usage asked for, and the granted limit where the client set none."""
        if self.members is None:
            return self.raw
        members = self.members
        changed: dict[str, msgspec.Raw] = {}
        if self.is_stream and self.route in _USAGE_ROUTES and not self.wants_usage:
            changed["stream_options"] = _with_member(members.get("stream_options"), "include_usage", _RAW_TRUE)
        if dialect == "openrouter" and self.route in _USAGE_ROUTES:
            changed["usage"] = msgspec.Raw(b'{"include":true}')
        if granted_max_tokens is not None and self.route in _LIMITS:
            name = _LIMITS[self.route][0]
            if self.route == "chat/completions" and dialect == "openai":
                name = "max_completion_tokens"  # OpenAI's newer models refuse the older name
            changed[name] = msgspec.Raw(b"%d" % granted_max_tokens)
        return msgspec.json.encode({**members, **changed} if changed else members)


def read_ask(route: str, content_type: str, raw: bytes) -> Ask:
    """Read a request's body. Raises CallRefused: 400 names the field, 415 what can't be read."""
    kind = content_type.partition(";")[0].strip().lower()
    if route == "audio/transcriptions":
        if kind != "multipart/form-data":
            raise CallRefused(415, "invalid_request", "Send audio as multipart/form-data.")
        return _read_form(route, content_type, raw)
    if kind not in {"application/json", ""}:
        raise CallRefused(415, "invalid_request", "Send JSON, with Content-Type: application/json.")
    return _read_json(route, raw)


def _read_json(route: str, raw: bytes) -> Ask:
    try:
        members = _TOP_LEVEL.decode(raw)
        body = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        _refuse("The body is not a JSON object in UTF-8, or is nested too deeply.")
    _refuse_second_names(raw)
    if body.get("background"):
        _refuse("background: answers that are fetched later are not offered here.")
    models = _models(body)
    ask = Ask(
        route=route,
        raw=raw,
        content_type="application/json",
        members=members,
        model=models[0],
        models=models[1:],
        is_stream=_boolean(body, "stream"),
        wants_usage=_wants_usage(body.get("stream_options")),
    )
    limits = [limit for name in _LIMITS.get(route, ()) if (limit := _count(body, name, MAX_TOKENS)) is not None]
    ask.max_tokens = max(limits, default=None)
    _read_multiples(ask, body)
    ask.web_searches = _web_searches(body)
    ask.prompt_tokens_worst = worst_prompt_tokens(route, body, body_bytes=len(raw))
    return ask


def _read_multiples(ask: Ask, body: Mapping[str, Any]) -> None:
    """How many answers: `n`, or more where the best of several is taken, for each of several prompts."""
    n = _count(body, "n", MAX_ANSWERS) or 1
    if ask.route == "images/generations":
        ask.images = n
    elif ask.route == "completions":
        prompts = body.get("prompt")
        many = len(prompts) if isinstance(prompts, list) and not isinstance(next(iter(prompts), 0), int) else 1
        ask.n = max(n, _count(body, "best_of", MAX_ANSWERS) or 1) * max(many, 1)
    elif ask.route == "chat/completions":
        ask.n = n


def _models(body: Mapping[str, Any]) -> tuple[str, ...]:
    """The requested model, then those of the fallback list."""
    listed = body.get("models")
    if listed is not None and (not isinstance(listed, list) or len(listed) > MAX_MODELS):
        _refuse(f"models: must be a list of at most {MAX_MODELS} names.", "models")
    names = [*([body["model"]] if body.get("model") is not None else []), *(listed or [])]
    if not names:
        _refuse("model: is missing.", "model")
    for name in names:
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARS or not name.isprintable():
            _refuse("model: must be the name of a model.", "model")
    return tuple(dict.fromkeys(names))


def _boolean(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    _refuse(f"{name}: must be true or false.", name)


def _count(body: Mapping[str, Any], name: str, maximum: int) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if type(value) is not int or not 1 <= value <= maximum:
        _refuse(f"{name}: must be a whole number from 1 to {maximum}.", name)
    return value


def _wants_usage(options: Any) -> bool:
    if options is None:
        return False
    if not isinstance(options, dict):
        _refuse("stream_options: must be an object.", "stream_options")
    return options.get("include_usage") is True


def _web_searches(body: Mapping[str, Any]) -> int:
    """How often the web may be searched for this call, as far as the request says it."""
    searches = 1 if body.get("web_search_options") is not None else 0
    plugins, tools = body.get("plugins"), body.get("tools")
    for plugin in plugins if isinstance(plugins, list) else ():
        searches += isinstance(plugin, dict) and plugin.get("id") == "web"
    for tool in tools if isinstance(tools, list) else ():
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and "web_search" in kind:
            stated = tool.get("max_uses", body.get("max_tool_calls"))
            searches += stated if type(stated) is int and 0 < stated <= 1000 else _LIKELY_SEARCHES
    return searches


def _refuse_second_names(raw: bytes) -> None:
    """Refuse a body that names something twice on its top level that money depends on."""
    found = _COSTLY_NAME.findall(raw)
    if len(found) == len(set(found)):
        return  # nearly always; what hides behind escapes is put together again without its double

    names: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        names[:] = [name for name, _ in pairs]  # the outermost object is closed last

    json.loads(raw, object_pairs_hook=note)
    for name in _COSTLY:
        if names.count(name) > 1:
            _refuse(f"{name}: is there twice.", name)


def _with_member(raw: msgspec.Raw | None, name: str, value: msgspec.Raw) -> msgspec.Raw:
    members = _TOP_LEVEL.decode(raw) if raw is not None and bytes(raw).strip() != b"null" else {}
    return msgspec.Raw(msgspec.json.encode({**members, name: value}))


def _read_form(route: str, content_type: str, raw: bytes) -> Ask:
    fields = _form_fields(content_type, raw)
    model = fields.get("model", "")
    if not 0 < len(model) <= MAX_NAME_CHARS or not model.isprintable():
        _refuse("model: is missing, or is no name of a model.", "model")
    stream = fields.get("stream", "false").lower()
    if stream not in {"true", "false"}:
        _refuse("stream: must be true or false.", "stream")
    return Ask(route=route, raw=raw, content_type=content_type, members=None, model=model, is_stream=stream == "true")


def _form_fields(content_type: str, raw: bytes) -> dict[str, str]:
    """The short fields of a form. Files are passed over; a field that is there twice is refused."""
    found = re.search(r'boundary="?([^";,\s]{1,70})"?', content_type)
    if found is None:
        _refuse("The form names no boundary.")
    mark = b"--" + found[1].encode("latin-1")
    fields: dict[str, str] = {}
    start, parts = raw.find(mark), 0
    while start >= 0 and raw[start + len(mark) : start + len(mark) + 2] == b"\r\n":
        parts += 1
        head_start = start + len(mark) + 2
        start = raw.find(b"\r\n" + mark, head_start)
        if start < 0 or parts > _MAX_FORM_PARTS:
            _refuse("The form is cut short, or has too many parts.")
        head_end = raw.find(b"\r\n\r\n", head_start, min(start, head_start + _MAX_FORM_FIELD_BYTES))
        if head_end < 0:
            _refuse("A part of the form has no head.")
        head = raw[head_start:head_end].decode("utf-8", "replace")
        value_start, value_end = head_end + 4, start
        start += 2
        name = re.search(r'[;\s]name="([^"]*)"', head)
        if name is None or re.search(r"[;\s]filename\*?=", head):
            continue
        if name[1] in fields:
            _refuse(f"{name[1][:50]}: is there twice.", name[1][:50])
        if value_end - value_start <= _MAX_FORM_FIELD_BYTES:
            fields[name[1]] = raw[value_start:value_end].decode("utf-8", "replace").strip()
    return fields


def _refuse(message: str, param: str | None = None) -> NoReturn:
    raise CallRefused(400, "invalid_request", message, metadata={"param": param} if param else None)
