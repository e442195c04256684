"""Bounded polling: the only way tests wait for something that happens elsewhere."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

POLL_SECONDS = 0.005


Condition = Callable[[], object | Awaitable[object]]


async def eventually(condition: Condition, timeout: float = 5.0, what: str = "the condition") -> None:
    """Return as soon as `condition()`, awaited if need be, is true; TimeoutError after `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            while not await value_of(condition):  # noqa: ASYNC110 - the state is another process's
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise TimeoutError(f"{what} did not come true within {timeout} s") from None


async def value_of(condition: Condition) -> object:
    value = condition()
    return await value if inspect.isawaitable(value) else value
