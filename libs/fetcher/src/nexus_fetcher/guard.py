"""Connections of a fetch: a name is looked up once, all its addresses are judged, and one of those is connected to."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Iterable

import httpcore2

from nexus_fetcher.addresses import reachable
from nexus_fetcher.types import Rules, Unfetched

__all__ = ["Guard", "Names"]

TRIED = 4
"""Of a name's addresses."""
CONNECT = 2.0
"""Seconds for one of them."""
SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class Names:
    """The one resolver of a process."""

    def __init__(self, rules: Rules) -> None:
        self._answers = rules.answers
        self._asked = Counter[str]()

    async def look_up(self, host: str, port: int) -> list[str]:
        """Raises OSError."""
        if (known := self._answers.get(host)) is not None:
            self._asked[host] += 1
            return list(known[min(self._asked[host], len(known)) - 1])
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Guard(httpcore2.AsyncNetworkBackend):
    """Of one request to one host, `listed` when the operator named that."""

    def __init__(self, names: Names, *, listed: bool) -> None:
        self._names = names
        self._listed = listed
        self._below: httpcore2.AsyncNetworkBackend = httpcore2.AnyIOBackend()  # pyright: ignore[reportAttributeAccessIssue]

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - all of a fetch has one limit
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """TLS goes on to be checked against the name. Raises Unfetched, httpcore2.ConnectError."""
        addresses = await self._judged(host, port)
        for address in addresses[:TRIED]:
            try:
                return await self._below.connect_tcp(address, port, CONNECT, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        raise httpcore2.ConnectError

    async def _judged(self, host: str, port: int) -> list[str]:
        """One address that is not public makes the name suspect: none of its others is tried."""
        try:
            found = await self._names.look_up(host, port)
        except (OSError, UnicodeError):
            found = []
        judged = [reachable(address, listed=self._listed) for address in found]
        allowed = [address for address in judged if address is not None]
        if not allowed or len(allowed) < len(judged):
            # The same for a name that is not there: who asks must not learn what our resolver knows.
            raise Unfetched(
                "does not lead to a public address; the operator can allow its host by `fetch_private` under [gateway]"
            )
        return allowed

    async def sleep(self, seconds: float) -> None:
        await self._below.sleep(seconds)
