"""An upstream on this machine whose answer the test decides."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Upstream:
    """What is answered next, and where."""

    def __init__(self, body: bytes) -> None:
        self.status, self.body, self.url = 200, body, ""


@contextmanager
def upstream(body: bytes) -> Iterator[Upstream]:
    """Serve a listing until the block ends."""
    answer = Upstream(body)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    answer.url = f"http://127.0.0.1:{server.server_port}/models"
    try:
        yield answer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
