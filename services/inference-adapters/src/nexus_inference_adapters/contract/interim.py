"""Answers of HTTP that are no answers: `100 Continue` and its like. A backend may send a few, never a flood.

The library under us reads on for as long as they come, without once giving way to anybody else.
"""

from __future__ import annotations

import asyncio
from functools import partial

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.streams import StreamReader

__all__ = ["connector"]

MOST = 16
"""Interim answers before one that counts."""
SLICE = 4096
"""Bytes of a head that are looked at together: so much is read of a flood, and no more."""


class _Bounded(ResponseHandler):
    """A connection that breaks off when more interim answers come on it than anybody sends."""

    _interim = 0

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        if not 100 <= data[0].code < 200 or data[0].code == 101:
            self._interim = 0
        else:
            self._interim += 1
        if self._interim <= MOST:
            super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        at = 0
        while at < len(data) and not self._answering():
            super().data_received(data[at : at + SLICE])
            at += SLICE
            if self._interim > MOST:
                self._break_off()
                return
        if at < len(data) or not data:
            # Nothing at all is how the library asks itself for what it put aside.
            super().data_received(data[at:] if at else data)

    def _answering(self) -> bool:
        """Whether the head of the real answer is here, so that what follows is its body."""
        return self._payload is not None and not self._payload.is_eof()

    def _break_off(self) -> None:
        if self.transport is not None:
            self.transport.abort()
        self.set_exception(BadHttpMessage("too many interim answers"))


def connector(keepalive: float) -> aiohttp.TCPConnector:
    """Connections to backends. How many there are at once is bounded by the places of each backend."""
    made = aiohttp.TCPConnector(limit=0, keepalive_timeout=keepalive)
    factory: partial[ResponseHandler] = partial(_Bounded, loop=asyncio.get_running_loop())
    made._factory = factory  # the library has no other way to choose the class of its connections
    return made
