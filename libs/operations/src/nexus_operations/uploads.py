"""The order in which the messages of an upload come: one check for every door that takes one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from nexus.inference.v1 import inference_pb2  # pyright: ignore[reportMissingTypeStubs] - generated, with stubs beside it

from nexus_operations.spec import Times

__all__ = ["ENOUGH", "LARGEST_CHUNK", "UploadError", "UploadOrder"]

ENOUGH = "enough"
"""Phase of the progress that tells a caller to send no more."""
LARGEST_CHUNK = 64 * 1024
"""Bytes of one `chunk` at most."""


class UploadError(Exception):
    """An upload that breaks its contract, in a sentence for who sends it."""


class UploadOrder:
    """Hears the messages of one upload after its `start`. `wanted`: the parts it may have, and how many of each.

    `most`: bytes of all files together, 0 = no limit. It is whole once `end` has come: what ends before was cut off.
    """

    def __init__(self, wanted: Mapping[str, Times], most: int = 0) -> None:
        self.whole = False
        self._wanted = wanted
        self._seen = Counter[str]()
        self.size = 0
        """Bytes so far."""
        self._most = most
        self._part: inference_pb2.Part | None = None
        self._of_part = 0

    def hear(self, message: inference_pb2.UploadRequest) -> None:
        """Raises UploadError; `too_large` says whether it is so by its size."""
        step = message.WhichOneof("step")
        if self.whole:
            raise UploadError("Nothing may follow `end`.")
        if step == "chunk":
            self._hear_chunk(len(message.chunk))
        elif step == "part":
            self._close_part()
            self._open_part(message.part)
        elif step == "end":
            self._close_part()
            if missing := [name for name, times in self._wanted.items() if self._seen[name] < times.least]:
                raise UploadError(f"A file is missing: {', '.join(missing)}.")
            if message.end.size != self.size:
                raise UploadError(
                    f"{self.size} bytes came, and `end` tells of {message.end.size}: some were lost."
                )
            self.whole = True
        elif step == "event":
            raise UploadError("This work takes no events.")
        else:
            raise UploadError("An upload goes on with a part, a chunk or `end`.")

    def closed(self) -> None:
        """Nothing more comes. Raises UploadError when that is too early."""
        if not self.whole:
            raise UploadError("The upload was cut off: it ended without `end`, so nothing was made of it.")

    @property
    def too_large(self) -> bool:
        return bool(self._most) and self.size > self._most

    def _hear_chunk(self, size: int) -> None:
        if self._part is None:
            raise UploadError("Bytes came before the part they belong to.")
        if size > LARGEST_CHUNK:
            raise UploadError(f"A chunk may have {LARGEST_CHUNK} bytes, and one has {size}.")
        self.size += size
        self._of_part += size
        if self.too_large:
            raise UploadError(f"The files are larger than the {self._most} bytes that are taken here.")
        if self._part.HasField("size") and self._of_part > self._part.size:
            raise UploadError(
                f"Part {self._part.name[:64]!r} has more bytes than the {self._part.size} it told of."
            )

    def _open_part(self, part: inference_pb2.Part) -> None:
        times = self._wanted.get(part.name)
        if times is None or self._seen[part.name] >= times.most:
            told = (f"{name}, up to {times.most}" for name, times in self._wanted.items())
            raise UploadError(f"The files of this work are {', and '.join(told)}.")
        self._seen[part.name] += 1
        self._part, self._of_part = part, 0

    def _close_part(self) -> None:
        part = self._part
        if part is not None and part.HasField("size") and self._of_part != part.size:
            raise UploadError(f"Part {part.name[:64]!r} has {self._of_part} bytes, and told of {part.size}.")
