"""What of a request's head matters, and what of it goes along to the upstream."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.calls import CallRefused, storable
from gateway.upstreams import Target

MAX_IDEMPOTENCY_CHARS = 255

#: Headers that go along as they came. Nothing else does: no address, no cookie, no end user's name, no SDK's details.
_ALONG = {
    b"http-referer": "HTTP-Referer",
    b"x-title": "X-Title",
    b"x-openrouter-title": "X-OpenRouter-Title",
    b"x-openrouter-categories": "X-OpenRouter-Categories",
    b"anthropic-version": "anthropic-version",
    b"anthropic-beta": "anthropic-beta",
    b"openai-beta": "OpenAI-Beta",
}
_READ = frozenset(
    {
        b"authorization",
        b"x-api-key",
        b"content-type",
        b"content-length",
        b"content-encoding",
        b"idempotency-key",
        b"expect",
        *_ALONG,
    }
)


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head: the values of `_READ` by their lower-case names."""

    values: dict[bytes, bytes]

    @classmethod
    def read(cls, headers: Iterable[tuple[bytes, bytes]]) -> Head:
        """Of a header that is there twice, the first counts; two keys are two answers to who calls: refused."""
        values: dict[bytes, bytes] = {}
        for name, value in headers:
            if name in _READ:
                if name in values and name in {b"authorization", b"x-api-key"}:
                    raise CallRefused(401, "authentication", "Send one API key.")
                values.setdefault(name, value)
        return cls(values)

    def text(self, name: bytes) -> str:
        """A header as text; "" where it is not there."""
        value = self.values.get(name)
        if value is None:
            return ""
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("latin-1")

    def key(self, route: str) -> str:
        """The API key that was sent: as bearer, and on Anthropic's route as x-api-key too; "" without."""
        scheme, _, secret = self.text(b"authorization").partition(" ")
        if scheme.lower() == "bearer":
            return secret.strip()
        return self.text(b"x-api-key").strip() if route == "messages" else ""

    def app(self) -> tuple[str, str]:
        """Title and referer of the app that calls, fit to be stored."""
        title = self.text(b"x-openrouter-title") or self.text(b"x-title")
        return storable(title).strip(), storable(self.text(b"http-referer")).strip()

    def idempotency_key(self) -> str | None:
        """The client's own name for this call, or None. Raises CallRefused (400) for what is none."""
        key = self.text(b"idempotency-key")
        if len(key) > MAX_IDEMPOTENCY_CHARS or not key.isprintable() or not key.isascii():
            raise CallRefused(
                400, "invalid_request", f"Idempotency-Key: at most {MAX_IDEMPOTENCY_CHARS} ASCII characters."
            )
        return key or None

    def along(self, target: Target, *, route: str, call_id: str, content_type: str, is_stream: bool) -> dict[str, str]:
        """The head of the request to the upstream: our key, our name, our id for the call."""
        headers = {
            "Authorization": f"Bearer {target.secret}",
            "Content-Type": content_type,
            "Accept": "text/event-stream" if is_stream else "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "jeongsan",
            "X-Client-Request-Id": call_id,
        }
        if route == "messages" and target.dialect != "openrouter":
            headers["x-api-key"] = target.secret
        for name, sent in _ALONG.items():
            if name in self.values:
                value = self.text(name)
                if value.isprintable():
                    headers[sent] = value
        return headers
