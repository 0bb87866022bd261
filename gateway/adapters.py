"""Asking an upstream afterwards what one call came to: `GET /generation?id=`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

import aiohttp
import msgspec
import orjson
from yarl import URL

from catalog.adapters import GuardedResolver
from catalog.errors import AddressRefused

_TIMEOUT = aiohttp.ClientTimeout(total=20, sock_connect=5)
_MAX_BYTES = 256 * 1024
_AT_A_TIME = 8
_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=Decimal)

logger = logging.getLogger(__name__)


class Knowledge(StrEnum):
    """What came of asking."""

    TOLD = "told"
    UNKNOWN = "unknown"  # the upstream says that it has no such generation
    SILENT = "silent"  # it could not be asked


@dataclass(frozen=True, slots=True)
class Question:
    """Whom to ask (with which key) for which generation: the upstream's own id or the request id that we sent."""

    base_url: str
    secret: str = field(repr=False)
    generation_id: str


@dataclass(frozen=True, slots=True)
class Told:
    """An answer. `usage` is JSON text in the "openrouter" dialect; it and the rest are there exactly when TOLD."""

    knowledge: Knowledge
    usage: str = ""
    model: str = ""
    finish_reason: str = ""
    generation_id: str = ""


def ask_generations(questions: Sequence[Question]) -> list[Told]:
    """Ask several upstreams at once; one answer per question, in order. Raises nothing."""
    return asyncio.run(_ask_all(questions)) if questions else []


async def _ask_all(questions: Sequence[Question]) -> list[Told]:
    turn = asyncio.Semaphore(_AT_A_TIME)

    async def ask(question: Question) -> Told:
        async with turn:
            return await _ask(question)

    return list(await asyncio.gather(*(ask(question) for question in questions)))


async def _ask(question: Question) -> Told:
    url = URL(f"{question.base_url}/generation").with_query(id=question.generation_id)
    headers = {"Authorization": f"Bearer {question.secret}", "Accept": "application/json"}
    connector = aiohttp.TCPConnector(resolver=GuardedResolver(url.scheme))
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session,
            session.get(url, headers=headers, allow_redirects=False) as response,
        ):
            if response.status == 404:
                return Told(Knowledge.UNKNOWN)
            if response.status != 200:
                logger.warning("%s answered %d for a generation", url.host, response.status)
                return Told(Knowledge.SILENT)
            return _read(await response.content.read(_MAX_BYTES))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, AddressRefused) as error:
        logger.warning("%s can't be asked for a generation: %s", url.host, type(error).__name__)
        return Told(Knowledge.SILENT)


def _read(body: bytes) -> Told:
    """`{"data": {...}}` with exact numbers. Counts that are missing leave it silent: nothing is known then."""
    tree = _DECODER.decode(body)
    data = tree.get("data") if isinstance(tree, dict) else None
    if not isinstance(data, dict):
        return Told(Knowledge.SILENT)
    prompt, completion = _count(data, "prompt"), _count(data, "completion")
    if prompt is None or completion is None:
        return Told(Knowledge.SILENT)
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": _whole(data.get("native_tokens_cached")) or 0},
        "completion_tokens_details": {
            "reasoning_tokens": min(_whole(data.get("native_tokens_reasoning")) or 0, completion),
            "image_tokens": _whole(data.get("native_tokens_completion_images")) or 0,
        },
        "is_byok": data.get("is_byok") is True,
    }
    cost = data.get("total_cost")
    if isinstance(cost, int | Decimal) and not isinstance(cost, bool):
        usage["cost"] = orjson.Fragment(format(Decimal(cost), "f").encode())
    charged = data.get("upstream_inference_cost")
    if isinstance(charged, int | Decimal) and not isinstance(charged, bool):
        usage["cost_details"] = {"upstream_inference_cost": orjson.Fragment(format(Decimal(charged), "f").encode())}
    return Told(
        Knowledge.TOLD,
        usage=orjson.dumps(usage).decode(),
        model=_text(data.get("model")),
        finish_reason=_text(data.get("finish_reason")),
        generation_id=_text(data.get("id")),
    )


def _count(data: dict[str, Any], kind: str) -> int | None:
    """The provider's own count, which is what is charged; the normalized one where there is no other."""
    native = _whole(data.get(f"native_tokens_{kind}"))
    return _whole(data.get(f"tokens_{kind}")) if native is None else native


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
