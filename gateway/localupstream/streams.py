"""Answers that come in pieces: the server-sent events of every route, with the faults that a stream can have."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from .answers import Answer, text_of, usage_json
from .bodies import json_text, message_item, response_json, stop_reason

_PIECES = 20
_ENDLESS_TOKENS = 4  # of each piece of a stream without end
_DONE = "data: [DONE]\n\n"
_ERROR = "The provider failed after it had begun."


class Frame(NamedTuple):
    """Bytes to send, how many tokens are generated with them, and how many pieces of text have been sent by then."""

    data: bytes
    generated: int
    pieces: int


class _Shape(Protocol):
    """How one route streams. Every method gives whole events as text."""

    def opening(self) -> str: ...

    def piece(self, index: int, text: str) -> str: ...

    def provisional(self, usage: str) -> str:
        """Usage before the end; what it says is overtaken by `closing`."""

    def closing(self, usage: str | None) -> str: ...

    def failing(self, usage: str) -> str:
        """Usage, and then the end as an error."""


def frames(answer: Answer) -> Iterator[Frame]:
    """The whole stream of an answer, as its knobs want it."""
    knobs, n = answer.ask.knobs, answer.ask.n
    shape = _SHAPES[answer.ask.route](answer)
    comment = ": OPENROUTER PROCESSING\n\n" if answer.is_openrouter else ""
    yield Frame((comment + shape.opening()).encode(), 0, 0)
    if knobs.two_usage:
        yield Frame(shape.provisional(usage_json(answer, completion=answer.completion // 2)).encode(), 0, 0)
    generated = pieces = 0
    for first, last in _bounds(answer):
        text = text_of(first, last)
        if knobs.long_line and pieces == 0:
            text = text + "x" * max(0, knobs.long_line - len(text.encode()))
        for index in range(n):
            data = shape.piece(index, text).encode()
            if knobs.bad_utf8 and pieces == 0:
                data = data.replace(text.encode(), text.encode() + b"\xff\xc3")
            generated += last - first
            pieces += 1
            yield Frame(data, generated, pieces)
    usage = None if knobs.no_usage else usage_json(answer)
    end = shape.failing(usage_json(answer)) if knobs.usage_then_error else shape.closing(usage)
    if knobs.double_done:
        end += _DONE * (2 - end.count(_DONE))
    for event in end.split("\n\n")[:-1]:
        yield Frame(f"{event}\n\n".encode(), generated, pieces)


def _bounds(answer: Answer) -> Iterator[tuple[int, int]]:
    """First and last token of each piece of one answer's text."""
    knobs, tokens = answer.ask.knobs, answer.ask.completion_tokens
    if knobs.endless:
        yield from ((number * _ENDLESS_TOKENS, (number + 1) * _ENDLESS_TOKENS) for number in itertools.count())
    if answer.ask.route == "images/generations" or tokens == 0:
        return
    count = min(knobs.chunks or _PIECES, tokens)
    for number in range(count):
        yield tokens * number // count, tokens * (number + 1) // count


class _Chat:
    """Chat completions, and completions, which differ by names only."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._is_chat = answer.ask.route == "chat/completions"
        kind = "chat.completion.chunk" if self._is_chat else "text_completion"
        provider = '"provider":"Local",' if answer.is_openrouter else ""
        self._head = (
            f'data: {{"id":"{answer.id}",{provider}"object":"{kind}","created":{answer.created},'
            f'"model":{json_text(answer.model)},"system_fingerprint":"fp_local","choices":['
        )
        self._asks_usage = answer.is_openrouter or answer.ask.wants_usage
        self._tail = "]" + (',"usage":null' if answer.ask.wants_usage and not answer.is_openrouter else "") + "}\n\n"

    def opening(self) -> str:
        if self._answer.is_openrouter or not self._is_chat:
            return ""
        return "".join(self.piece(index, "") for index in range(self._answer.ask.n))

    def piece(self, index: int, text: str) -> str:
        return f"{self._head}{self._choice(index, text, 'null')}{self._tail}"

    def provisional(self, usage: str) -> str:
        return self._usage(usage) if self._asks_usage else ""

    def closing(self, usage: str | None) -> str:
        reason = json_text(self._answer.finish_reason)
        ends = "".join(
            f"{self._head}{self._choice(index, '', reason)}{self._tail}" for index in range(self._answer.ask.n)
        )
        return ends + (self._usage(usage) if usage and self._asks_usage else "") + _DONE

    def failing(self, usage: str) -> str:
        error = (
            f'{self._head}{self._choice(0, "", json_text("error"))}],"error":{{"code":502,"message":"{_ERROR}"}}}}\n\n'
        )
        return (self._usage(usage) if self._asks_usage else "") + error + _DONE

    def _choice(self, index: int, text: str, reason: str) -> str:
        said = f'"delta":{{"role":"assistant","content":"{text}"}}' if self._is_chat else f'"text":"{text}"'
        return f'{{"index":{index},{said},"logprobs":null,"finish_reason":{reason}}}'

    def _usage(self, usage: str) -> str:
        choices = self._choice(0, "", "null") if self._answer.is_openrouter else ""
        return f'{self._head}{choices}],"usage":{usage}}}\n\n'


class _Responses:
    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._numbers = itertools.count()
        self._status = "incomplete" if answer.ask.is_limited else "completed"
        self._item = f'"item_id":"msg_{answer.id}","output_index":0,"content_index":0'

    def opening(self) -> str:
        begun = response_json(self._answer, "in_progress", "")
        part = '"part":{"type":"output_text","text":"","annotations":[]}'
        return (
            self._event("response.created", f'"response":{begun}')
            + self._event("response.in_progress", f'"response":{begun}')
            + self._event(
                "response.output_item.added",
                f'"output_index":0,"item":{message_item(self._answer, "in_progress", None)}',
            )
            + self._event("response.content_part.added", f"{self._item},{part}")
        )

    def piece(self, index: int, text: str) -> str:
        return self._event("response.output_text.delta", f'{self._item},"delta":"{text}","logprobs":[]')

    def provisional(self, usage: str) -> str:
        begun = response_json(self._answer, "in_progress", "")
        return self._event("response.in_progress", f'"response":{begun[:-1]},"usage":{usage}}}')

    def closing(self, usage: str | None) -> str:
        text = text_of(0, self._answer.completion)
        part = f'"part":{{"type":"output_text","text":"{text}","annotations":[]}}'
        item = message_item(self._answer, self._status, text)
        whole = response_json(self._answer, self._status, item)[:-1] + (f',"usage":{usage}' if usage else "") + "}"
        return (
            self._event("response.output_text.done", f'{self._item},"text":"{text}","logprobs":[]')
            + self._event("response.content_part.done", f"{self._item},{part}")
            + self._event("response.output_item.done", f'"output_index":0,"item":{item}')
            + self._event(f"response.{self._status}", f'"response":{whole}')
            + (_DONE if self._answer.is_openrouter else "")
        )

    def failing(self, usage: str) -> str:
        failed = response_json(self._answer, "failed", "").replace(
            '"error":null', f'"error":{{"code":"server_error","message":"{_ERROR}"}}'
        )
        return self._event("response.failed", f'"response":{failed[:-1]},"usage":{usage}}}')

    def _event(self, name: str, body: str) -> str:
        return f'event: {name}\ndata: {{"type":"{name}","sequence_number":{next(self._numbers)},{body}}}\n\n'


class _Messages:
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def opening(self) -> str:
        shown = "" if self._answer.ask.knobs.no_usage else f',"usage":{usage_json(self._answer, completion=1)}'
        begun = (
            f'"message":{{"id":"{self._answer.id}","type":"message","role":"assistant",'
            f'"model":{json_text(self._answer.model)},"content":[],"stop_reason":null,"stop_sequence":null{shown}}}'
        )
        block = '"index":0,"content_block":{"type":"text","text":""}'
        return (
            _event("message_start", begun)
            + _event("content_block_start", block)
            + 'event: ping\ndata: {"type":"ping"}\n\n'
        )

    def piece(self, index: int, text: str) -> str:
        return _event("content_block_delta", f'"index":0,"delta":{{"type":"text_delta","text":"{text}"}}')

    def provisional(self, usage: str) -> str:
        return _event("message_delta", f'"delta":{{"stop_reason":null,"stop_sequence":null}},"usage":{usage}')

    def closing(self, usage: str | None) -> str:
        return (
            _event("content_block_stop", '"index":0')
            + self._delta(usage)
            + "event: message_stop\n"
            + ('data: {"type":"message_stop"}\n\n')
        )

    def failing(self, usage: str) -> str:
        error = f'"error":{{"type":"overloaded_error","message":"{_ERROR}"}}'
        return self._delta(usage) + _event("error", error)

    def _delta(self, usage: str | None) -> str:
        if usage and not self._answer.is_openrouter:  # Anthropic's own: the input stands in message_start only
            usage = f'{{"output_tokens":{self._answer.completion}}}'
        ended = f'"delta":{{"stop_reason":{stop_reason(self._answer)},"stop_sequence":null}}'
        return _event("message_delta", ended + (f',"usage":{usage}' if usage else ""))


class _Transcript:
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def opening(self) -> str:
        return ""

    def piece(self, index: int, text: str) -> str:
        return f'data: {{"type":"transcript.text.delta","delta":"{text}"}}\n\n'

    def provisional(self, usage: str) -> str:
        return f'data: {{"type":"transcript.text.delta","delta":"","usage":{usage}}}\n\n'

    def closing(self, usage: str | None) -> str:
        shown = f',"usage":{usage}' if usage else ""
        text = text_of(0, self._answer.completion)
        return f'data: {{"type":"transcript.text.done","text":"{text}"{shown}}}\n\n'

    def failing(self, usage: str) -> str:
        return f'data: {{"type":"error","error":{{"message":"{_ERROR}"}},"usage":{usage}}}\n\n'


class _Image:
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def opening(self) -> str:
        return _event("image_generation.partial_image", '"partial_image_index":0,"b64_json":"iVBORw0KGgo="')

    def piece(self, index: int, text: str) -> str:
        return ""

    def provisional(self, usage: str) -> str:
        return _event("image_generation.partial_image", f'"partial_image_index":1,"b64_json":"","usage":{usage}')

    def closing(self, usage: str | None) -> str:
        shown = f',"usage":{usage}' if usage else ""
        return _event("image_generation.completed", f'"b64_json":"iVBORw0KGgo="{shown}')

    def failing(self, usage: str) -> str:
        return _event("error", f'"error":{{"message":"{_ERROR}"}},"usage":{usage}')


def _event(name: str, body: str) -> str:
    return f'event: {name}\ndata: {{"type":"{name}",{body}}}\n\n'


_SHAPES: dict[str, type[_Chat | _Responses | _Messages | _Transcript | _Image]] = {
    "chat/completions": _Chat,
    "completions": _Chat,
    "responses": _Responses,
    "messages": _Messages,
    "audio/transcriptions": _Transcript,
    "images/generations": _Image,
}
