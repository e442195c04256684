"""What is measured: a way to the backend, with its endpoints and its processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.backends import Backend
from bench.client import Endpoint

__all__ = ["Subject", "bare"]


@dataclass(frozen=True, slots=True)
class Subject:
    """`chat` and `stream` are the same program; `pids` are the processes on a request's path, by name."""

    name: str
    chat: Endpoint
    stream: Endpoint
    pids: Mapping[str, tuple[int, ...]]
    version: str = ""
    others: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Processes that belong to it and are not on a request's path."""


def bare(backend: Backend, name: str) -> Subject:
    """The backend with nothing in front."""
    return Subject(
        name="bare backend",
        chat=Endpoint("127.0.0.1", backend.chat_port),
        stream=Endpoint("127.0.0.1", backend.stream_port),
        pids={"backend": backend.pids},
        version=name,
    )
