"""One aiohttp client for all calls: no cookies, no redirects, no proxy of the environment, nothing compressed."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from catalog.adapters import GuardedResolver
from catalog.errors import AddressRefused

from .pool import Target

#: Enough for a burst of chunks; two of these at most wait in memory for a client that reads slowly.
READ_BUFFER_BYTES = 32_768
KEEP_ALIVE_SECONDS = 15.0
DNS_SECONDS = 60


class Unreachable(Exception):
    """No answer came. `code` names the reason; `may_have_begun`: the request was sent, so that it may be generated."""

    def __init__(self, code: str, *, may_have_begun: bool) -> None:
        super().__init__(code)
        self.code = code
        self.may_have_begun = may_have_begun


class UpstreamClient:
    """Sends requests; the answer's body is the caller's to read and to close. Use and close it in one event loop."""

    def __init__(self) -> None:
        # One by scheme, because the scheme decides which addresses a name may stand for.
        self._sessions = {scheme: _session(scheme) for scheme in ("https", "http")}
        self._urls: dict[tuple[str, str], URL] = {}
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}

    async def post(
        self, target: Target, route: str, *, headers: Mapping[str, str], body: bytes
    ) -> aiohttp.ClientResponse:
        """The upstream's answer as soon as its head is there. Raises Unreachable; the time to the head is the caller's."""
        url = self._urls.get((target.base_url, route))
        if url is None:
            url = self._urls[target.base_url, route] = URL(f"{target.base_url}/{route}")
        timeout = self._timeouts.get(target.connect_seconds)
        if timeout is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=target.connect_seconds)
            self._timeouts[target.connect_seconds] = timeout
        try:
            return await self._sessions[url.scheme].post(
                url, data=body, headers=CIMultiDict(headers), timeout=timeout, allow_redirects=False
            )
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            code = "connect_timeout" if isinstance(error, TimeoutError) else "connect_error"
            raise Unreachable(code, may_have_begun=False) from None
        except AddressRefused:
            raise Unreachable("address_refused", may_have_begun=False) from None
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            raise Unreachable("connection_lost", may_have_begun=True) from None
        except (aiohttp.ClientError, ValueError):
            raise Unreachable("bad_answer", may_have_begun=True) from None

    async def close(self) -> None:
        """Close every connection."""
        for session in self._sessions.values():
            await session.close()


def _session(scheme: str) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=0,
        resolver=GuardedResolver(scheme),
        ttl_dns_cache=DNS_SECONDS,
        keepalive_timeout=KEEP_ALIVE_SECONDS,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        read_bufsize=READ_BUFFER_BYTES,
        trust_env=False,
    )
