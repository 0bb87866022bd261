"""What settles a call, read from its answer: one reader for the shapes of all metered routes.

The shape is the route's, whatever the upstream counts: chat chunks, Responses and Anthropic events, whole bodies. Usage is
cumulative in all of them, so the last object replaces the earlier ones. Texts are measured and forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from .bodies import kept_usage, parse, usage_near_the_end, usage_text
from .sse import Event


class Seen(Enum):
    """What an event is to whoever passes it on."""

    CONTENT = "content"
    #: Nothing but the usage: the chunk that a client gets only if it asked.
    USAGE_ONLY = "usage_only"
    #: The stream says that it is over.
    END = "end"


_CONTENT, _USAGE_ONLY, _END = Seen.CONTENT, Seen.USAGE_ONLY, Seen.END
_MAX_NAME_CHARS = 200
_RESPONSE_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})
_MEDIA_ENDS = frozenset({"image_generation.completed", "transcript.text.done"})


class AnswerReader:
    """Reads one answer; the attributes say what it knows so far.

    `usage` is a plain object (or None: none came), `served_model`, `upstream_id`, `finish_reason` and `error_code` are ""
    until they are known. `error_status` is the HTTP status that an error inside the answer claims, if it does.
    `answered_bytes` (UTF-8) and `answered_chunks` measure generated text. `is_provisional`: the usage so far was stated
    before the text was generated (Anthropic's first event), so that it bills nothing by itself.
    """

    __slots__ = (
        "_is_messages",
        "_is_responses",
        "_searches",
        "answered_bytes",
        "answered_chunks",
        "error_code",
        "error_status",
        "finish_reason",
        "is_ended",
        "is_provisional",
        "served_model",
        "upstream_id",
        "usage",
    )

    def __init__(self, route: str) -> None:
        self._is_messages = route == "messages"
        self._is_responses = route == "responses"
        self._searches = 0
        self.usage: dict[str, Any] | None = None
        self.served_model = ""
        self.upstream_id = ""
        self.finish_reason = ""
        self.error_code = ""
        self.error_status: int | None = None
        self.answered_bytes = 0
        self.answered_chunks = 0
        self.is_ended = False
        self.is_provisional = False

    def usage_json(self) -> str | None:
        """The usage object as JSON text, web searches that the answer shows but the object leaves out included."""
        if self.usage is None:
            return None
        if self._searches and "tool_usage" not in self.usage:
            return usage_text({**self.usage, "tool_usage": {"web_search": {"num_requests": self._searches}}})
        return usage_text(self.usage)

    def read_event(self, event: Event) -> Seen:
        """Take in one event of a stream."""
        data = event.data
        if data is None:
            if event.tail is not None:
                self._read_tail(event.tail)
            return _CONTENT
        if data == b"[DONE]" or data.strip() == b"[DONE]":
            self.is_ended = True
            return _END
        chunk = parse(data)
        if not isinstance(chunk, dict):
            return _CONTENT
        if "choices" in chunk:
            return self._read_chunk(chunk)
        if self._is_messages:
            return self._read_message_event(chunk)
        return self._read_typed_event(chunk)

    def read_body(self, body: bytes) -> None:
        """Take in a whole answer. Where it is not JSON, only its size is known."""
        answer = parse(body)
        if not isinstance(answer, dict):
            self._count(1, len(body))
            return
        self._note_head(answer)
        self._note_usage(answer.get("usage"))
        self._note_error(answer)
        if self._is_responses:
            self._read_response(answer)
        for choice in _objects(answer.get("choices")):
            self._note_finish(choice.get("finish_reason"))
            self._count(1, _text_bytes(choice.get("message")) + _text_bytes(choice.get("text")))
        if self._is_messages:
            self._note_finish(answer.get("stop_reason"))
            self._count(1, _text_bytes(answer.get("content")))
        elif "data" in answer or "text" in answer:  # embeddings and images; a transcript
            self._count(1, _text_bytes(answer.get("text")))
        self.is_ended = True

    def _read_chunk(self, chunk: Mapping[str, Any]) -> Seen:
        """A chunk of chat completions or of completions."""
        if not self.upstream_id or not self.served_model:
            self._note_head(chunk)
        has_usage = chunk.get("usage") is not None
        if has_usage:
            self._note_usage(chunk["usage"])
        if "error" in chunk:
            self._note_error(chunk)
        choices = chunk["choices"]
        if not choices:
            return _USAGE_ONLY if has_usage else _CONTENT
        size = 0
        for choice in _objects(choices):
            self._note_finish(choice.get("finish_reason"))
            delta = choice.get("delta")
            size += _text_bytes(choice.get("text") if delta is None else delta)
        if size:
            self._count(1, size)
        return _CONTENT

    def _read_message_event(self, event: Mapping[str, Any]) -> Seen:
        """An Anthropic event: the counts of the input come first, those of the output are cumulative."""
        kind = event.get("type")
        if kind == "content_block_delta":
            size = _text_bytes(event.get("delta"))
            if size:
                self._count(1, size)
        elif kind == "message_start":
            message = event.get("message")
            if isinstance(message, dict):
                self._note_head(message)
                self._note_usage(message.get("usage"))
                self.is_provisional = True
        elif kind == "message_delta":
            delta = event.get("delta")
            if isinstance(delta, dict):
                self._note_finish(delta.get("stop_reason"))
            self._merge_usage(event.get("usage"))
        elif kind == "message_stop":
            self.is_ended = True
            return _END
        elif "error" in event:
            self._note_error(event)
        return _CONTENT

    def _read_typed_event(self, event: Mapping[str, Any]) -> Seen:
        """Events that name their type: Responses, images and transcripts; anything else is looked through for usage."""
        kind = event.get("type")
        response = event.get("response")
        if isinstance(response, dict):
            self._note_head(response)
            self._note_usage(response.get("usage"))
        elif isinstance(kind, str) and kind.endswith(".delta"):
            size = _text_bytes(event.get("delta"))
            if size:
                self._count(1, size)
        else:
            self._note_head(event)
            self._note_usage(event.get("usage"))
        if kind == "error" or "error" in event:
            self._note_error(event)
        if kind in _RESPONSE_ENDS and isinstance(response, dict):
            self._note_error(response)
            self._read_response(response)
            self.is_ended = True
            return _END
        if kind in _MEDIA_ENDS:
            self._note_finish("stop")
            self.is_ended = True
            return _END
        return _CONTENT

    def _read_response(self, response: Mapping[str, Any]) -> None:
        """What a finished Responses object says beside its usage: status, texts, and the searches that were made."""
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        self._note_finish(reason or response.get("status"))
        size = 0
        for item in _objects(response.get("output")):
            if item.get("type") == "web_search_call":
                action = item.get("action")
                # Opening a found page is no search.
                kind = action.get("type", "search") if isinstance(action, dict) else "search"
                self._searches += kind == "search" and item.get("status") != "failed"
            else:
                size += _text_bytes(item)
        tools = response.get("tool_usage")
        search = tools.get("web_search") if isinstance(tools, dict) else None
        stated = search.get("num_requests") if isinstance(search, dict) else None
        if type(stated) is int and stated >= 0:
            self._searches = stated
        if not self.answered_chunks:
            self._count(1, size)

    def _read_tail(self, tail: bytes) -> None:
        """The end of an event that was too long to keep: its usage, if there is one, and whether it is the last."""
        usage = usage_near_the_end(tail)
        if usage is not None:
            self.usage = usage
        self._count(1, len(tail))

    def _note_head(self, answer: Mapping[str, Any]) -> None:
        for name, attribute in (("id", "upstream_id"), ("model", "served_model")):
            value = answer.get(name)
            if isinstance(value, str) and 0 < len(value) <= _MAX_NAME_CHARS and value.isprintable():
                setattr(self, attribute, value)

    def _note_usage(self, usage: Any) -> None:
        kept = kept_usage(usage) if usage is not None else None
        if kept is not None:
            self.usage = kept

    def _merge_usage(self, usage: Any) -> None:
        """Later counts replace earlier ones. A zero or null takes nothing back, except of the output, whose first count
        was provisional: some upstreams repeat the input's counts as zeros.
        """
        kept = kept_usage(usage)
        if kept is None:
            return
        self.is_provisional = False
        merged = dict(self.usage or {})
        for name, value in kept.items():
            if value or name == "output_tokens" or not merged.get(name):
                merged[name] = value
        self.usage = merged

    def _note_finish(self, reason: Any) -> None:
        if isinstance(reason, str) and 0 < len(reason) <= 40 and reason.isprintable():
            self.finish_reason = reason

    def _note_error(self, answer: Mapping[str, Any]) -> None:
        error = answer.get("error")
        if error is None and answer.get("type") == "error":
            error = answer
        if error is None or error is False:
            return
        code = error.get("code") if isinstance(error, dict) else None
        if isinstance(code, str) and code.isdecimal() and len(code) == 3:
            code = int(code)
        if type(code) is int and 400 <= code <= 599:
            self.error_status = code
        kind = error.get("type") if isinstance(error, dict) else None
        name = code if isinstance(code, int) or (isinstance(code, str) and code) else kind
        self.error_code = f"{name}"[:50] if isinstance(name, str | int) else "error"

    def _count(self, chunks: int, size: int) -> None:
        if size:
            self.answered_chunks += chunks
            self.answered_bytes += size


#: Members that hold generated text, or objects that do, in any of the shapes.
_TEXT_MEMBERS = frozenset(
    {
        "content",
        "text",
        "reasoning",
        "reasoning_content",
        "refusal",
        "thinking",
        "partial_json",
        "arguments",
        "transcript",
        "tool_calls",
        "function",
        "function_call",
        "name",
        "input",
        "summary",
        "audio",
    }
)


def _text_bytes(value: Any) -> int:
    """UTF-8 bytes of the generated text in a delta, a message or an item, without recursion."""
    if isinstance(value, str):
        return _size(value)
    total = 0
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            total += _size(part)
        elif isinstance(part, dict):
            for name, member in part.items():
                if member and name in _TEXT_MEMBERS:
                    waiting.append(member)
        elif isinstance(part, list):
            waiting.extend(part)
    return total


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _objects(value: Any) -> Iterable[Mapping[str, Any]]:
    return (entry for entry in value if isinstance(entry, dict)) if isinstance(value, list) else ()
