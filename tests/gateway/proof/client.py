"""A customer's program under load: calls of every kind, some of them left in the middle. It is killed without a warning.

`python -m tests.gateway.proof.client BASE_URL KEYS LOG SEED`: KEYS are comma separated; a line goes to LOG for every
answer of which the last byte was read. SIGTERM lets what is under way come to its end.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time

import aiohttp

CONCURRENCY = 16
_TIMEOUT = aiohttp.ClientTimeout(total=30)
_FAULTS = (
    "status=500, times=1",
    "no_usage",
    "two_usage",
    "usage_then_error",
    "cut_stream=2",
    "slow_first_byte=0.2",
    "generation_delay=0.3",
    "double_done",
    "empty",
)
_ROUTES = (*["chat/completions"] * 3, "responses", "messages", "embeddings")
_ENDS = (b"data: [DONE]", b"event: message_stop", b"event: response.completed")


class Client:
    """The program."""

    def __init__(self, base_url: str, keys: list[str], log: int, dice: random.Random) -> None:
        self._base_url = base_url
        self._keys = keys
        self._log = log
        self._dice = dice
        self._is_ending = False

    async def run(self) -> None:
        """Call and call until told to end."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._end)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session:
            await asyncio.gather(*(self._call_on(session) for _ in range(CONCURRENCY)))

    def _end(self) -> None:
        self._is_ending = True

    async def _call_on(self, session: aiohttp.ClientSession) -> None:
        while not self._is_ending:
            try:
                await self._call(session)
            except (aiohttp.ClientError, TimeoutError, OSError):
                await asyncio.sleep(0.05)  # whatever was killed is being started again

    async def _call(self, session: aiohttp.ClientSession) -> None:
        route, body = self._request()
        headers = {"Authorization": f"Bearer {self._dice.choice(self._keys)}"}
        leaves_after = self._dice.randint(1, 1500) if self._dice.random() < 0.12 else None
        async with session.post(f"{self._base_url}/{route}", json=body, headers=headers) as response:
            content = bytearray()
            async for data in response.content.iter_any():
                content += data
                if leaves_after is not None and len(content) >= leaves_after:
                    response.close()
                    return
            is_whole = response.status == 200 and (not body.get("stream") or any(end in content for end in _ENDS))
            self._note(response.headers.get("X-Generation-Id", ""), response.status, is_whole)
            if response.status in {429, 503}:
                await asyncio.sleep(0.05)

    def _note(self, call_id: str, status: int, is_whole: bool) -> None:
        line = {"call_id": call_id, "status": status, "is_whole": is_whole, "at": time.time()}
        os.write(self._log, json.dumps(line).encode() + b"\n")

    def _request(self) -> tuple[str, dict[str, object]]:
        dice = self._dice
        knobs = [f"completion={dice.randint(1, 120)}", f"chunks={dice.randint(1, 8)}"]
        if dice.random() < 0.5:
            knobs.append(f"slow_chunks={dice.choice((0.002, 0.01, 0.04))}")
        if dice.random() < 0.35:
            knobs.append(dice.choice(_FAULTS))
        text = "x" * dice.randint(1, 400) + f" @upstream({', '.join(knobs)})"
        messages = [{"role": "user", "content": text}]
        is_stream = dice.random() < 0.6
        route = dice.choice(_ROUTES)
        body: dict[str, object] = {"model": dice.choice(("openai/gpt-5-mini", "openai/gpt-5-nano", "openrouter/auto"))}
        if route == "embeddings":
            return route, {"model": "openai/text-embedding-3-small", "input": text.replace("cut_stream", "chunks")}
        if route == "responses":
            return route, body | {"input": text, "stream": is_stream, "max_output_tokens": 150}
        return route, body | {"messages": messages, "stream": is_stream, "max_tokens": 150}


def main() -> None:
    """Run until SIGTERM."""
    base_url, keys, log, seed = sys.argv[1:]
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    asyncio.run(Client(base_url, keys.split(","), descriptor, random.Random(seed)).run())


if __name__ == "__main__":
    main()
