"""Fetching a model listing from an upstream's address."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv6Address, ip_address, ip_network

import aiohttp
from aiohttp.abc import ResolveResult
from yarl import URL

from catalog.errors import AddressRefused, UnreadableListing

MAX_LISTING_BYTES = 64 * 1024 * 1024
_TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=10, sock_read=20)
_MAX_REDIRECTS = 3
#: IPv6 addresses that carry an IPv4 address a gateway would deliver to: NAT64 and 6to4.
_CARRIERS = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"), ip_network("2002::/16"))


def fetch_listing(url: str) -> bytes:
    """The body behind an `https` address on the internet, or an `http` one on this very machine (a test, a tunnel).

    Asked without credentials, cookies or proxy. Names are checked by the addresses they resolve to, those that are
    connected to; redirects are followed on the same host only. Raises AddressRefused, and UnreadableListing for whatever
    the network says and for more than 64 MB.
    """
    return asyncio.run(_fetch(checked_url(url)))


def checked_url(url: str) -> URL:
    """An address that may be asked, as far as its text says: https on the internet, http on this very machine. Raises
    AddressRefused. What its name resolves to is `GuardedResolver`'s to judge, at the moment of connecting.
    """
    try:
        parsed = URL(url)
        host = parsed.raw_host
    except ValueError:
        host = None
    if not host or parsed.scheme not in {"https", "http"} or parsed.user is not None or parsed.password is not None:
        raise AddressRefused("from: not an https address without user name and password", field="from")
    # What looks like a number is connected to without the resolver, in every old spelling ("127.1", "2130706433").
    if ":" in host or host.replace(".", "").isdigit():
        _check_address(parsed.scheme, host)
    return parsed


def _check_address(scheme: str, address: str) -> None:
    try:
        ip = ip_address(address)
    except ValueError:
        raise AddressRefused(f"from: {address} is not a whole IP address", field="from") from None
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    if scheme == "http":
        if not ip.is_loopback:
            raise AddressRefused("from: plain http is for this machine only; use https", field="from")
    elif not ip.is_global or ip.is_multicast or any(ip in network for network in _CARRIERS):
        raise AddressRefused(f"from: {address} is not an address on the internet", field="from")


class GuardedResolver(aiohttp.ThreadedResolver):
    """Resolves a name only when every one of its addresses may be asked."""

    def __init__(self, scheme: str) -> None:
        super().__init__()
        self._scheme = scheme

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        results = await super().resolve(host, port, family)
        for result in results:
            _check_address(self._scheme, result["host"])
        return results


async def _fetch(url: URL) -> bytes:
    connector = aiohttp.TCPConnector(resolver=GuardedResolver(url.scheme))
    try:
        async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session:
            for _ in range(_MAX_REDIRECTS + 1):
                async with session.get(url, allow_redirects=False, headers={"Accept": "application/json"}) as response:
                    if response.status == 200:
                        return await _read(response)
                    if response.status not in {301, 302, 303, 307, 308}:
                        raise UnreadableListing(f"from: {url.host} answered {response.status}", field="from")
                    target = url.join(URL(response.headers.get("Location", "")))
                    if target.origin() != url.origin():
                        raise AddressRefused(f"from: {url.host} redirects to another host", field="from")
                    url = target
            raise UnreadableListing(f"from: {url.host} redirects in a circle", field="from")
    except TimeoutError:
        raise UnreadableListing(f"from: {url.host} did not answer in time", field="from") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise UnreadableListing(f"from: {url.host} can't be read: {error}", field="from") from None


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        body += chunk
        if len(body) > MAX_LISTING_BYTES:
            raise UnreadableListing(f"from: more than {MAX_LISTING_BYTES >> 20} MB", field="from")
    return bytes(body)
