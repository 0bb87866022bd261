"""A web server on this machine that answers as the Export-Import Bank does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "a-key-that-never-appears-in-a-message"


def rows(**rates: str) -> str:
    """The JSON of a day: a row for each currency unit; `JPY_100_` stands for "JPY(100)"."""
    return json.dumps(
        [
            {
                "result": 1,
                "cur_unit": unit.replace("_100_", "(100)"),
                "ttb": "1,428.75",
                "tts": "1,457.62",
                "deal_bas_r": rate,
                "bkpr": "1,443",
                "kftc_deal_bas_r": "1,443.20",
                "cur_nm": "미국 달러",
            }
            for unit, rate in rates.items()
        ],
        ensure_ascii=False,
    )


@dataclass
class Bank:
    """`answers` by day (yyyyMMdd): a body, or a status and a body. Other days are holidays. `asked` is what came."""

    url: str
    answers: dict[str, str | tuple[int, str]] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def running_bank() -> Iterator[Bank]:
    """The server for as long as the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            bank.asked.append(query)
            answer = bank.answers.get(query["searchdate"], "[]")
            if query["authkey"] != KEY:
                answer = '[{"result":3}]'
            status, body = answer if isinstance(answer, tuple) else (200, answer)
            self.send_response(status)
            self.send_header("Content-Type", "application/json;charset=UTF-8")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            """Nothing on standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    bank = Bank(f"http://127.0.0.1:{server.server_port}/site/program/financial/exchangeJSON")
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield bank
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
