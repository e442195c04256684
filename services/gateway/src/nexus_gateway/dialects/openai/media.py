"""An answer that is bytes: as they are, or in events. What was cut is never passed off as whole."""

from __future__ import annotations

import re

from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason

__all__ = ["Output"]

MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]+(; ?[a-z]+=[A-Za-z0-9._-]+)*")


class Output:
    """The one output of an answer, as its messages come. `expected`: its media type, without parameters."""

    def __init__(self, expected: str) -> None:
        self._expected = expected
        self._ended = False
        self.media_type = ""
        """Known once something came."""

    def take(self, media: inference_pb2.Media) -> bytes:
        """The bytes of one message; b"" of a preview. Raises UPSTREAM_MALFORMED."""
        if media.HasField("preview"):
            return b""
        if media.index or self._ended:
            raise _malformed("The backend sent more than the one output that was asked for.")
        if not self.media_type:
            self.media_type = self._checked(media.mime_type)
        self._ended = media.last
        return media.data

    def finish(self) -> None:
        """Nothing more comes. Raises UPSTREAM_MALFORMED for what is not whole."""
        if not self._ended:
            raise _malformed("The backend ended its answer in the middle of its output.")

    def _checked(self, told: str) -> str:
        if not MEDIA_TYPE.fullmatch(told) or told.partition(";")[0] != self._expected:
            raise _malformed(f"The backend was asked for {self._expected}, and its answer is something else.")
        return told


def _malformed(message: str) -> MeshError:
    return MeshError(Reason.UPSTREAM_MALFORMED, message)
