"""A body whose connection breaks, as the HTTP library tells of it: the loss first, what came with it never."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol
from nexus_inference_adapters.contract.http import Answer
from nexus_mesh.core.errors import MeshError, Reason

T = TypeVar("T")


async def _wait(awaitable: Awaitable[T], /) -> T:
    return await awaitable


async def test_what_came_with_the_end_of_the_connection_is_kept() -> None:
    loop = asyncio.get_running_loop()
    content = aiohttp.StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    answer = Answer(cast(Any, SimpleNamespace(content=content, status=200, headers={})), _wait)
    content.feed_data(b"half an answer")
    content.set_exception(aiohttp.ClientPayloadError("cut"))
    assert await answer.part() == b"half an answer"
    with pytest.raises(MeshError) as raised:
        await answer.part()
    assert raised.value.reason is Reason.BACKEND_LOST
