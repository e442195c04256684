"""What clients of OpenAI's Realtime API send, as types; and the ids and errors of what they are sent."""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_hex
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType
from nexus_mesh.core import JsonObject, MeshError, Reason

__all__ = [
    "Append",
    "AudioFormat",
    "AudioWish",
    "CancelResponse",
    "Clear",
    "ClientEvent",
    "Commit",
    "CreateItem",
    "CreateResponse",
    "DeleteItem",
    "GivenItem",
    "GivenPart",
    "InputWish",
    "ItemReference",
    "NewId",
    "OutputWish",
    "ResponseWish",
    "RetrieveItem",
    "SessionUpdate",
    "TranscriptionWish",
    "TruncateItem",
    "TurnDetection",
    "UpdateSession",
    "VoiceId",
    "bad",
    "decode",
    "event_id_of",
    "new_id",
]

NewId = Callable[[str], str]
Formats = Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
Modality = Literal["text", "audio"]


def new_id(prefix: str) -> str:
    return f"{prefix}_{token_hex(10)}"


def bad(message: str, param: str = "", code: str = "invalid_value") -> MeshError:
    """What is wrong with an event."""
    facts = {"code": code, **({"param": param} if param else {})}
    return MeshError(Reason.INVALID_REQUEST, message, metadata=facts)


class AudioFormat(Struct, forbid_unknown_fields=True):
    type: Formats
    rate: int | UnsetType | None = UNSET


class TranscriptionWish(Struct, forbid_unknown_fields=True):
    model: str | None = None
    language: str | None = None
    prompt: str | None = None


class TurnDetection(Struct, forbid_unknown_fields=True):
    """How the end of what somebody says is found. Times in milliseconds."""

    type: str
    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500
    create_response: bool = True
    interrupt_response: bool = True
    idle_timeout_ms: int | None = None
    eagerness: str | None = None


class InputWish(Struct, forbid_unknown_fields=True):
    format: AudioFormat | UnsetType = UNSET
    transcription: TranscriptionWish | UnsetType | None = UNSET
    noise_reduction: JsonObject | None = None
    turn_detection: TurnDetection | UnsetType | None = UNSET


class VoiceId(Struct, forbid_unknown_fields=True):
    id: str


class OutputWish(Struct, forbid_unknown_fields=True):
    """`model`: ours, which of several that speak."""

    format: AudioFormat | UnsetType = UNSET
    voice: str | VoiceId | UnsetType = UNSET
    speed: float | UnsetType = UNSET
    model: str | UnsetType = UNSET


class AudioWish(Struct, forbid_unknown_fields=True):
    input: InputWish | UnsetType = UNSET
    output: OutputWish | UnsetType = UNSET


class SessionUpdate(Struct, forbid_unknown_fields=True):
    """What is left out stays as it is."""

    type: str = "realtime"
    output_modalities: list[Modality] | UnsetType = UNSET
    model: str | None = None
    instructions: str | UnsetType = UNSET
    audio: AudioWish | UnsetType = UNSET
    tools: list[JsonObject] | UnsetType = UNSET
    tool_choice: str | JsonObject | UnsetType = UNSET
    max_output_tokens: int | Literal["inf"] | UnsetType = UNSET
    temperature: float | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType | None = UNSET
    include: list[str] | None = None
    tracing: Any = None
    truncation: Any = None
    prompt: JsonObject | None = None
    reasoning: JsonObject | None = None
    id: str | None = None
    object: str | None = None
    expires_at: int | None = None
    nexus: Any = None
    """The last four are the server's: clients send back what they were told."""


class GivenPart(Struct, forbid_unknown_fields=True):
    type: str
    text: str | None = None
    audio: bytes | None = None
    transcript: str | None = None
    image_url: str | None = None
    detail: str | None = None


class GivenItem(Struct, forbid_unknown_fields=True):
    type: str = "message"
    id: str | None = None
    object: str | None = None
    status: str | None = None
    role: str | None = None
    content: list[GivenPart] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | None = None


class ItemReference(Struct, forbid_unknown_fields=True):
    id: str
    type: Literal["item_reference"]


class ResponseWish(Struct, forbid_unknown_fields=True):
    """A response that differs from the session."""

    conversation: str = "auto"
    output_modalities: list[Modality] | UnsetType = UNSET
    instructions: str | UnsetType = UNSET
    audio: AudioWish | UnsetType = UNSET
    tools: list[JsonObject] | UnsetType = UNSET
    tool_choice: str | JsonObject | UnsetType = UNSET
    max_output_tokens: int | Literal["inf"] | UnsetType = UNSET
    temperature: float | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType | None = UNSET
    input: list[JsonObject] | None = None
    metadata: dict[str, str] | None = None
    prompt: JsonObject | None = None
    reasoning: JsonObject | None = None


class _Event(Struct, tag_field="type", forbid_unknown_fields=True, kw_only=True):
    event_id: str | None = None


class UpdateSession(_Event, tag="session.update"):
    session: SessionUpdate


class Append(_Event, tag="input_audio_buffer.append"):
    audio: bytes


class Commit(_Event, tag="input_audio_buffer.commit"):
    pass


class Clear(_Event, tag="input_audio_buffer.clear"):
    pass


class CreateItem(_Event, tag="conversation.item.create"):
    item: GivenItem
    previous_item_id: str | None = None


class DeleteItem(_Event, tag="conversation.item.delete"):
    item_id: str


class RetrieveItem(_Event, tag="conversation.item.retrieve"):
    item_id: str


class TruncateItem(_Event, tag="conversation.item.truncate"):
    item_id: str
    content_index: int
    audio_end_ms: int


class CreateResponse(_Event, tag="response.create"):
    response: ResponseWish | None = None


class CancelResponse(_Event, tag="response.cancel"):
    response_id: str | None = None


ClientEvent = (
    UpdateSession
    | Append
    | Commit
    | Clear
    | CreateItem
    | DeleteItem
    | RetrieveItem
    | TruncateItem
    | CreateResponse
    | CancelResponse
)


class _Named(Struct):
    event_id: str | None = None
    type: str = ""


_decoder = msgspec.json.Decoder(ClientEvent)
_name = msgspec.json.Decoder(_Named)
_KNOWN = frozenset(str(event.__struct_config__.tag) for event in ClientEvent.__args__)


def decode(text: str) -> ClientEvent:
    """One event of a client. Raises INVALID_REQUEST that says what is wrong where."""
    try:
        return _decoder.decode(text)
    except (ValueError, RecursionError) as error:
        told = _named(text)
        if told is not None and told.type not in _KNOWN:
            raise bad(
                f"This gateway knows no event of the type {told.type[:64]!r}. It takes {', '.join(sorted(_KNOWN))}.",
                "type",
            ) from None
        said = str(error) if isinstance(error, msgspec.MsgspecError) else "It is nested too deeply."
        what, _, where = said.partition(" - at `$")
        param = where.rstrip("`").lstrip(".")
        raise bad(f"The event cannot be read: {what}{f' (at {param})' if param else ''}.", param) from None


def event_id_of(text: str) -> str | None:
    """The id that the client has given it, as far as it can be read."""
    told = _named(text)
    return None if told is None else told.event_id


def _named(text: str) -> _Named | None:
    try:
        return _name.decode(text)
    except (ValueError, RecursionError):
        return None
