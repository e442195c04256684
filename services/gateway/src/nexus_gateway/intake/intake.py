"""Where bodies of requests come in, by whichever door: room for their bytes, and turns at being read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nexus_mesh.core import Turns

from nexus_gateway.core import LARGE, InferenceRequest
from nexus_gateway.intake.body_budget import BodyBudget
from nexus_gateway.validation import decode_object, decoding

__all__ = ["Check", "Intake"]

Check = Callable[[dict[str, Any], int], InferenceRequest]
"""From the object in a body and the body's size to the checked request. Raises MeshError."""


@dataclass(frozen=True, slots=True)
class Intake:
    """One for all doors of a gateway."""

    bodies: BodyBudget
    turns: Turns = field(default_factory=Turns)

    async def read(self, body: bytes | bytearray, check: Check) -> InferenceRequest:
        """The request in a body, packed if it is large: those are read one at a time. Raises MeshError.

        Whoever calls keeps no name for the body: its bytes are let go of as soon as they were read.
        """
        size = len(body)
        if size < LARGE:
            return check(decode_object(body), size)
        async with self.turns:
            reading = decoding(body)
            del body
            parsed = await self.turns.steps(reading)
            request = await self.turns.step(check, parsed, size)
            del parsed, reading
            await self.turns.step(request.pack)
        return request
