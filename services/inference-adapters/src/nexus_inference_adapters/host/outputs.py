"""What an answer of bytes owes: at least one output, each told its type first and ended by its `last`, none cut."""

from __future__ import annotations

from dataclasses import dataclass

from nexus_mesh.core import MeshError, Reason
from nexus_operations import SPECS, spec_of

from nexus_inference_adapters.contract import MEDIA_BYTES, Event, Finish, Media, Work

__all__ = ["OF_BYTES", "Outputs"]

OF_BYTES = frozenset(number for number, spec in SPECS.items() if spec.makes_bytes)
"""Kinds of work whose answers are bytes."""

Name = tuple[int, int | None]
"""Which output, and which preview of it."""


@dataclass(slots=True)
class Taken:
    """How far one has come."""

    ended: bool = False
    size: int | None = None
    seen: int = 0


class Outputs:
    """Those of one request. Raises UPSTREAM_MALFORMED for what breaks the contract, at the event that does."""

    def __init__(self, work: Work) -> None:
        spec = spec_of(work.operation)
        self._expected = spec.expected(work.body) if spec.makes_bytes else 0
        self._taken: dict[Name, Taken] = {}

    def hear(self, event: Event) -> None:
        """The next event of the stream."""
        if type(event) is Media:
            self._take(event)
        elif type(event) is Finish:
            self._finish()
        elif type(event) is list and self._expected:
            raise _malformed("The backend sent text where bytes were asked for.")

    def _take(self, media: Media) -> None:
        if not self._expected or not 0 <= media.index < self._expected:
            raise _malformed("The backend sent an output that was not asked for.")
        if len(media.data) > MEDIA_BYTES:
            raise _malformed(f"More than {MEDIA_BYTES} bytes of an output came at once.")
        taken = self._taken.get((media.index, media.preview))
        if taken is None:
            if not media.mime_type:
                raise _malformed("The backend sent bytes without saying of what type.")
            if media.preview is not None and (media.index, None) in self._taken:
                raise _malformed("The backend sent a preview of an output that had begun.")
            taken = self._taken[media.index, media.preview] = Taken(size=media.size)
        if taken.ended:
            raise _malformed("The backend sent more of an output that had ended.")
        taken.seen += len(media.data)
        taken.ended = media.last
        if media.last and (not taken.seen or taken.size not in (None, taken.seen)):
            raise _malformed("The backend ended an output that is not whole.")

    def _finish(self) -> None:
        if not self._expected:
            return
        if any(not taken.ended for taken in self._taken.values()):
            raise _malformed("The backend ended its answer in the middle of an output.")
        made = sum(preview is None for _, preview in self._taken)
        if made != self._expected:
            raise _malformed(f"The backend made {made} of {self._expected} outputs.")


def _malformed(message: str) -> MeshError:
    return MeshError(Reason.UPSTREAM_MALFORMED, message)
