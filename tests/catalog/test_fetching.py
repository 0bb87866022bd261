"""Asking an upstream's address: only addresses that may be asked, never too much, never for too long a way."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from catalog.adapters import MAX_LISTING_BYTES, fetch_listing
from catalog.errors import AddressRefused, UnreadableListing


class _Upstream(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        match self.path:
            case "/models":
                self._answer(200, b'{"data": []}')
            case "/moved":
                self._answer(302, location="/models")
            case "/elsewhere":
                self._answer(302, location="https://example.com/models")
            case "/port":
                self._answer(302, location="http://127.0.0.1:1/models")
            case "/circle":
                self._answer(307, location="/circle")
            case "/nowhere":
                self._answer(302)
            case "/endless":
                self.send_response(200)
                self.end_headers()
                piece = b" " * (1 << 20)
                try:
                    for _ in range((MAX_LISTING_BYTES >> 20) + 1):
                        self.wfile.write(piece)
                except OSError:
                    pass  # the client has had enough
            case _:
                self._answer(503, b"busy")

    def _answer(self, status: int, body: bytes = b"", location: str | None = None) -> None:
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Upstream)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_this_machine_may_be_asked_without_tls(upstream: str) -> None:
    assert fetch_listing(f"{upstream}/models") == b'{"data": []}'
    assert fetch_listing(f"{upstream}/models".replace("127.0.0.1", "localhost")) == b'{"data": []}'


def test_a_redirect_is_followed_on_the_same_host_only(upstream: str) -> None:
    assert fetch_listing(f"{upstream}/moved") == b'{"data": []}'
    for path in ("elsewhere", "port"):
        with pytest.raises(AddressRefused, match="redirects to another host"):
            fetch_listing(f"{upstream}/{path}")
    for path in ("circle", "nowhere"):
        with pytest.raises(UnreadableListing):
            fetch_listing(f"{upstream}/{path}")


def test_an_answer_that_is_no_answer_is_a_sentence(upstream: str) -> None:
    with pytest.raises(UnreadableListing, match="answered 503"):
        fetch_listing(f"{upstream}/broken")
    with pytest.raises(UnreadableListing, match="can't be read"):
        fetch_listing("http://127.0.0.1:1/models")


def test_a_body_without_end_is_left(upstream: str) -> None:
    with pytest.raises(UnreadableListing, match="more than 64 MB"):
        fetch_listing(f"{upstream}/endless")


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1/models",
        "http://93.184.216.34/models",
        "https://127.0.0.1/models",
        "https://127.1/models",
        "https://2130706433/models",
        "https://localhost/models",
        "https://0.0.0.0/models",
        "https://10.0.0.1/models",
        "https://172.16.0.1/models",
        "https://192.168.0.1/models",
        "https://100.64.0.1/models",
        "https://169.254.169.254/latest/meta-data",
        "https://224.0.0.1/models",
        "https://[::1]/models",
        "https://[fe80::1]/models",
        "https://[fd00::1]/models",
        "https://[::ffff:10.0.0.1]/models",
        "https://[64:ff9b::a00:1]/models",
        "https://[2002:a00:1::]/models",
        "https://user:secret@example.com/models",
        "https:///models",
        "https://",
        "ftp://example.com/models",
        "file:///etc/passwd",
        "models.json",
    ],
)
def test_an_address_that_must_not_be_asked_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused) as refusal:
        fetch_listing(url)

    assert refusal.value.as_dict()["field"] == "from"
    assert "secret" not in refusal.value.message
