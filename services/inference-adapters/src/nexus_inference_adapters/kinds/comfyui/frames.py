"""What comes over the WebSocket, as far as it is of one prompt: the socket carries broadcasts about others' as well."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from nexus_inference_adapters.contract import JsonObject

__all__ = ["Ended", "Failed", "Frame", "Look", "QueueMoved", "Stepped", "Working", "read_binary", "read_text"]

PREVIEW, PREVIEW_OF = 1, 4
"""Types of binary frames: a picture's format and file; a length, JSON of that length, a picture's file."""
MOST_STEPS = 2**31


@dataclass(frozen=True, slots=True)
class QueueMoved:
    """Somebody's prompt came or went."""


@dataclass(frozen=True, slots=True)
class Working:
    """It is at this node; "" = it has begun."""

    node: str


@dataclass(frozen=True, slots=True)
class Stepped:
    """So far is a node that counts its steps."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Look:
    """What it looks like by now: a JPEG or PNG."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """`node`: the class of the node; `interrupted`: by somebody's wish. `kind`: the name of what was raised."""

    node: str
    interrupted: bool
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more comes, and its history is written."""


Frame: TypeAlias = QueueMoved | Working | Stepped | Look | Failed | Ended


def read_text(text: str, prompt: str) -> Frame | None:
    """None for what is of other prompts, or news to nobody here."""
    try:
        message = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None
    data = message.get("data") if isinstance(message, dict) else None
    if not isinstance(data, dict):
        return None
    kind = message.get("type")
    if kind == "status":
        return QueueMoved()
    return _of_prompt(str(kind), data) if data.get("prompt_id") == prompt else None


def read_binary(data: bytes, prompt: str) -> Look | None:
    """Those without metadata are of whoever's prompt runs: only that one's socket gets them."""
    if len(data) < 8:
        return None
    kind, second = struct.unpack_from(">II", data)
    if kind == PREVIEW:
        return Look(data[8:])
    if kind != PREVIEW_OF:
        return None
    try:
        about = msgspec.json.decode(data[8 : 8 + second], type=JsonObject)
    except (ValueError, RecursionError):
        return None
    return Look(data[8 + second :]) if about.get("prompt_id") == prompt else None


def _of_prompt(kind: str, data: JsonObject) -> Frame | None:
    match kind:
        case "execution_start":
            return Working("")
        case "executing":
            # Its success is told before its history is written; that it is at no node any more, after.
            return Ended() if data.get("node") is None else Working(str(data["node"]))
        case "progress":
            done, total = data.get("value"), data.get("max")
            if (
                isinstance(done, int | float)
                and isinstance(total, int | float)
                and 0 <= done <= total < MOST_STEPS
            ):
                return Stepped(int(done), int(total))
        case "execution_error":
            return Failed(str(data.get("node_type")), interrupted=False, kind=str(data.get("exception_type")))
        case "execution_interrupted":
            return Failed(str(data.get("node_type")), interrupted=True)
        case _:
            pass
    return None
