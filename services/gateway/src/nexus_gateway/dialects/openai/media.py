"""Answers that are bytes: whole outputs one after the other. What was cut is never passed off as whole."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason

__all__ = ["Outputs", "malformed", "unended"]

Media = inference_pb2.Media
Name = tuple[int, int | None]
"""Which output, and which preview of it."""
MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]+(; ?[a-z]+=[A-Za-z0-9._-]+)*")
HELD = 64 << 20
"""Bytes that wait for their turn at most: those of outputs that come beside the one that is handed on."""


class Outputs:
    """The outputs of an answer, as its messages come. `expected`: their media type, without parameters."""

    def __init__(self, expected: str, count: int = 1) -> None:
        self._expected = expected
        self._count = count
        self._begun: set[Name] = set()
        self._ended: set[Name] = set()
        self._current: Name | None = None
        self._next = 0
        self._waiting: dict[Name, list[Media]] = {}
        self._held = 0
        self.media_type = ""
        """Known once something came."""

    def take(self, media: Media) -> Iterator[Media]:
        """What can be handed on now: an output's messages together, and the outputs by their index, each after its
        previews. Raises UPSTREAM_MALFORMED."""
        name = self._checked(media)
        if not self._is_its_turn(name):
            self._held += len(media.data)
            if self._held > HELD:
                raise malformed("The backend sends more outputs at once than can be kept.")
            self._waiting.setdefault(name, []).append(media)
            return
        yield from self._handed_on(name, media)
        while self._current is None and (name := self._whose_turn()) is not None:
            for waiting in self._waiting.pop(name):
                self._held -= len(waiting.data)
                yield from self._handed_on(name, waiting)

    def finish(self) -> None:
        """Nothing more comes. Raises UPSTREAM_MALFORMED for what is not whole."""
        if self._begun != self._ended or self._next != self._count:
            raise malformed("The backend ended its answer in the middle of its output.")

    def _is_its_turn(self, name: Name) -> bool:
        return self._current == name or (self._current is None and name[0] == self._next)

    def _whose_turn(self) -> Name | None:
        return next((name for name in self._waiting if name[0] == self._next), None)

    def _handed_on(self, name: Name, media: Media) -> Iterator[Media]:
        self._current = name
        yield media
        if media.last:
            self._current = None
            self._next += name[1] is None

    def _checked(self, media: Media) -> Name:
        preview = media.preview if media.HasField("preview") else None
        name = (media.index, preview)
        output = (media.index, None)
        if (
            media.index >= self._count
            or name in self._ended
            or (preview is not None and output in self._begun)
        ):
            raise malformed("The backend sent more than the outputs that were asked for.")
        if name not in self._begun:
            self._begun.add(name)
            told = media.mime_type
            if not MEDIA_TYPE.fullmatch(told) or told.partition(";")[0] != self._expected:
                raise malformed(
                    f"The backend was asked for {self._expected}, and its answer is something else."
                )
            self.media_type = self.media_type or told
        if media.last:
            self._ended.add(name)
        return name


def malformed(message: str) -> MeshError:
    return MeshError(Reason.UPSTREAM_MALFORMED, message)


def unended() -> MeshError:
    return malformed("The backend's stream ended without its end mark.")
