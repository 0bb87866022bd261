"""Bounds and estimates of tokens that nobody has counted yet. Pure.

A bound is never below what an upstream can count, so that a hold is never too small; an estimate is the likely number,
used (and flagged) only where the upstream never says its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

#: A tokenizer with byte fallback makes at most one token of a byte; JSON only ever makes a text longer. What a chat
#: template adds (roles, separators, a date line) is less than the JSON around a message, except on the whole request:
TEMPLATE_TOKENS = 256
#: What providers add of their own once tools are declared (346 to 530 at one of them, measured by its documentation).
TOOL_TEMPLATE_TOKENS = 1024
#: Bytes of text for one token, where tokens are guessed.
BYTES_PER_TOKEN = 4

#: Part types and keys whose tokens the size of the body says nothing about.
_MEDIA_TYPES = frozenset(
    {
        "image_url",
        "input_image",
        "image",
        "input_audio",
        "audio",
        "file",
        "input_file",
        "document",
        "video_url",
        "video",
        "item_reference",
    }
)
_UNBOUNDED_KEYS = frozenset(
    {
        "previous_response_id",
        "conversation",
        "plugins",
        "web_search_options",
        "mcp_servers",
        "container",
        "prompt_id",
        "preset",
        "file_id",
    }
)
#: Server tools fetch text of their own; function tools are part of the body.
_LOCAL_TOOLS = frozenset({"function", "custom"})


def worst_prompt_tokens(route: str, body: Mapping[str, Any], *, body_bytes: int) -> int | None:
    """An upper bound of the prompt's tokens, or None where the body's size does not bound them.

    `body` is the parsed request (any JSON), `body_bytes` the size as it was received. Multipart bodies (audio) have no
    bound: do not ask.
    """
    if route == "audio/transcriptions" or holds_media(body):
        return None
    return body_bytes + (TOOL_TEMPLATE_TOKENS if body.get("tools") else TEMPLATE_TOKENS)


def holds_media(body: Mapping[str, Any]) -> bool:
    """Whether a request refers to something whose tokens are not in it: media, files, earlier turns, server tools."""
    if any(body.get(key) for key in _UNBOUNDED_KEYS & body.keys()):
        return True
    if isinstance(body.get("prompt"), dict):  # a stored prompt template
        return True
    return any(_is_unbounded(part) for part in _objects(body))


def _is_unbounded(part: Mapping[str, Any]) -> bool:
    kind = part.get("type")
    if not isinstance(kind, str):
        return False
    if kind in _MEDIA_TYPES or "file_id" in part:
        return True
    is_server_tool = kind.startswith(
        ("web_search", "web_fetch", "file_search", "code_", "computer", "mcp", "openrouter:")
    )
    return is_server_tool and kind not in _LOCAL_TOOLS


def _objects(root: Any) -> Iterable[Mapping[str, Any]]:
    """Every JSON object in a tree, without recursion: a nested body must not exhaust the stack."""
    waiting = [root]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def likely_prompt_tokens(*, prompt_bytes: int) -> int:
    """Tokens of a prompt of which only the size is known."""
    return -(-prompt_bytes // BYTES_PER_TOKEN)


def likely_completion_tokens(*, answered_bytes: int, answered_chunks: int) -> int:
    """Tokens of an answer that was not counted: a chunk carries at least one, and so do four bytes of text."""
    return max(-(-answered_bytes // BYTES_PER_TOKEN), answered_chunks)
