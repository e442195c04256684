"""Sends one large message and lets go of it: a unary call of the library keeps its request until the answer has come.

On the wire a stream of one message is that message, so the peer sees no difference.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from nexus_mesh.core import give_small_blocks_back

__all__ = ["send", "sent"]


async def send(call: Any, message: list[bytes], turn: asyncio.Lock) -> None:
    """Sends the one message, which is taken out of its list. What fails is told by the call itself.

    `turn`: of all to the same peer. The library copies a message when its sending begins, and they share a wire anyway.
    """
    with suppress(asyncio.InvalidStateError):
        async with turn:
            await call.write(message.pop())
        give_small_blocks_back()
        await call.done_writing()


async def sent(call: Any, message: list[bytes], turn: asyncio.Lock) -> Any:
    """The answer to one message."""
    try:
        await send(call, message, turn)
        return await call
    except BaseException:
        call.cancel()
        raise
