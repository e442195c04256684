"""A wire that is dead tells nobody: neither that bytes are lost nor that the other end has gone."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from support.tcp_proxy import TcpProxy
from support.waiting import eventually


async def test_a_dead_wire_stays_dead_for_those_who_were_on_it() -> None:
    arrived: list[bytes] = []
    gone = asyncio.Event()
    there: set[asyncio.StreamWriter] = set()

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there.add(writer)
        try:
            while data := await reader.read(100):
                arrived.append(data)
                writer.write(data)
            gone.set()
        except ConnectionError:
            pass  # the proxy's own end resets what was on it
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            there.discard(writer)

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with TcpProxy(f"127.0.0.1:{port}") as proxy:
        host, _, place = proxy.endpoint.rpartition(":")
        on_it = await asyncio.open_connection(host, int(place))
        on_it[1].write(b"before")
        assert await on_it[0].read(100) == b"before"
        proxy.die()
        on_it[1].write(b"lost")
        on_it[1].write_eof()
        proxy.join()
        later = await asyncio.open_connection(host, int(place))
        later[1].write(b"after")
        assert await later[0].read(100) == b"after"
        assert arrived == [b"before", b"after"]
        assert not gone.is_set()
        for _, writer in (on_it, later):
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
    await eventually(lambda: not there, what="the far ends to be closed")
    server.close()
    await server.wait_closed()
