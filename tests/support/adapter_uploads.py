"""What a test has an adapter's backend make of files."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

from nexus.inference.v1 import inference_pb2
from nexus_inference_adapters.contract import Event, Parts
from nexus_inference_adapters.host.backend import Backend
from nexus_inference_adapters.vocabulary import OPERATIONS
from nexus_operations import LARGEST_CHUNK, spec_of
from support.adapter_host import envelope

__all__ = ["Files", "uploaded"]

Files = Sequence[tuple[str, bytes]]
"""By the names of their fields."""


def uploaded(
    backend: Backend, body: dict[str, Any], operation: str, files: Files, *, stream: bool = False
) -> AsyncGenerator[Event, None]:
    """The events of a request with these files."""
    parts = Parts(_messages(files), spec_of(OPERATIONS[operation]).files)
    given = json.loads(json.dumps(body))
    return backend.upload(envelope(backend, body, operation), given, parts, stream=stream)


async def _messages(files: Files) -> AsyncIterator[inference_pb2.UploadRequest]:
    for name, data in files:
        yield inference_pb2.UploadRequest(part=inference_pb2.Part(name=name))
        for at in range(0, len(data), LARGEST_CHUNK):
            yield inference_pb2.UploadRequest(chunk=data[at : at + LARGEST_CHUNK])
    size = sum(len(data) for _, data in files)
    yield inference_pb2.UploadRequest(end=inference_pb2.UploadEnd(size=size))
