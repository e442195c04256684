"""One fetch, redirects and all: each request anew through the guard, everything counted as it comes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Container
from functools import cached_property

import httpcore2
import httpx2

from nexus_fetcher.addresses import Target, parse
from nexus_fetcher.guard import Guard, Names
from nexus_fetcher.types import SECONDS, Fetched, Rules, Unfetched

__all__ = ["Fetching"]

REDIRECTS = 3
MOVED = frozenset({301, 302, 303, 307, 308})


class Fetching:
    """All fetches of a process. No cookie, no credential and no connection of one is there for the next."""

    def __init__(self, rules: Rules) -> None:
        self._names = Names(rules)
        self._private = frozenset(rules.private)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return httpcore2.default_ssl_context()

    async def fetch(self, url: str, accepts: Container[str], asked: str, most: int) -> Fetched:
        """`asked`: what is accepted, as a header says it. Raises Unfetched."""
        try:
            async with asyncio.timeout(SECONDS):
                return await self._follow(url, accepts, asked, most)
        except TimeoutError:
            raise Unfetched(f"could not be fetched within {SECONDS:g} s") from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, OSError):
            raise Unfetched(
                "could not be fetched: its server did not answer, or broke its answer off"
            ) from None

    async def _follow(self, url: str, accepts: Container[str], asked: str, most: int) -> Fetched:
        place: httpx2.URL | str = url
        for _ in range(1 + REDIRECTS):
            target = parse(place, self._private)
            answer = await self._ask(target, accepts, asked, most)
            if isinstance(answer, Fetched):
                return answer
            try:
                place = httpx2.URL(place).join(answer)
            except (httpx2.InvalidURL, ValueError):
                raise Unfetched("leads to a redirect that can't be read") from None
        raise Unfetched(f"leads through more than {REDIRECTS} redirects")

    async def _ask(self, target: Target, accepts: Container[str], asked: str, most: int) -> Fetched | str:
        """What there is, or where else it is."""
        guard = Guard(self._names, listed=target.listed)
        tls = self._tls if target.scheme == "https" else None
        headers = [
            (b"Host", target.authority),
            (b"User-Agent", b"nexus"),
            (b"Accept", asked.encode()),
            (b"Accept-Encoding", b"identity"),
            (b"Connection", b"close"),
        ]
        place = httpcore2.URL(
            scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path
        )
        async with (
            httpcore2.AsyncConnectionPool(ssl_context=tls, max_connections=1, network_backend=guard) as pool,
            pool.stream("GET", place, headers=headers) as response,
        ):
            told = {name.lower(): value.decode("latin-1").strip() for name, value in response.headers}
            if response.status in MOVED and b"location" in told:
                return told[b"location"]
            if response.status != 200:
                raise Unfetched(f"could not be fetched: its server answered with status {response.status}")
            # Nothing that is asked for needs it, and a few bytes of it may stand for gigabytes.
            if told.get(b"content-encoding", "identity").lower() not in ("identity", ""):
                raise Unfetched("comes compressed though it was asked for as it is")
            mime = told.get(b"content-type", "").partition(";")[0].strip().lower()
            if mime and mime not in accepts:
                raise Unfetched(f"must lead to one of {asked}: its server says that it is something else")
            length = told.get(b"content-length", "")
            if length.isascii() and length.isdecimal() and int(length) > most:
                raise _too_large(most)
            data = bytearray()
            async for piece in response.aiter_stream():
                data += piece
                if len(data) > most:
                    raise _too_large(most)
            return Fetched(bytes(data), mime)


def _too_large(most: int) -> Unfetched:
    return Unfetched(f"leads to more than the {most} bytes that may come of it")
