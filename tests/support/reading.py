"""A document asked of one backend, and its answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from nexus.inference.v1 import inference_pb2
from nexus_inference_adapters.contract import Event, Finish, Parts, Text
from nexus_inference_adapters.host.backend import Backend
from nexus_operations import Times
from support.adapter_host import envelope

__all__ = ["events_of", "read"]


async def parts_of(data: bytes) -> AsyncIterator[inference_pb2.UploadRequest]:
    yield inference_pb2.UploadRequest(part=inference_pb2.Part(name="file", filename="paper"))
    for at in range(0, len(data), 65_536):
        yield inference_pb2.UploadRequest(chunk=data[at : at + 65_536])
    yield inference_pb2.UploadRequest(end=inference_pb2.UploadEnd(size=len(data)))


async def events_of(reader: Backend, data: bytes, *, stream: bool = False, **body: Any) -> list[Event]:
    parts = Parts(parts_of(data), {"file": Times()})
    asked = reader.upload(envelope(reader, body, "ocr"), dict(body), parts, stream=stream)
    async with aclosing(asked) as events:
        return [event async for event in events]


async def read(reader: Backend, data: bytes, **body: Any) -> dict[str, Any]:
    events = await events_of(reader, data, **body)
    assert isinstance(events[-1], Finish)
    assert events[-1].usage is not None
    [text] = [event for event in events if isinstance(event, Text)]
    answer = json.loads(text.body)
    assert events[-1].usage.input_pages == len(answer["pages"])
    return answer
