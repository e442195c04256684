"""What a session is set to: what its client asks for, checked against what its caller may use now. Nothing is left
out silently: what cannot be had is refused, and what was not asked for is told in the session."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from msgspec import UNSET, UnsetType
from nexus_mesh.core import JsonObject

from nexus_gateway.dialects.casting import NO_EARS, NO_VOICE, Parts, Speaker, listed, missing_part
from nexus_gateway.dialects.realtime.sound import FORMATS, PCM, Format
from nexus_gateway.dialects.realtime.wire import (
    AudioFormat,
    AudioWish,
    InputWish,
    OutputWish,
    ResponseWish,
    SessionUpdate,
    TranscriptionWish,
    TurnDetection,
    VoiceId,
    bad,
)

__all__ = ["Settings"]

SLOWEST, FASTEST = 0.25, 4.0
NO_DETECTOR = (
    "This gateway has nothing that finds the end of speech: the operator adds it with `make speech`. Until then say "
    "'turn_detection': null, and commit each turn with input_audio_buffer.commit."
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Of a session, or of one response. `ears`: the model that listens, empty = none is there."""

    model: str
    modalities: tuple[str, ...] = ("text",)
    instructions: str = ""
    input: Format = PCM
    output: Format = PCM
    ears: str = ""
    language: str = ""
    hint: str = ""
    tells_words: bool = True
    """Whether the client is told what was heard."""
    turns: TurnDetection | None = None
    speaker: Speaker | None = None
    speed: float = 1.0
    tools: tuple[JsonObject, ...] = ()
    tool_choice: str | JsonObject = "auto"
    most_tokens: int | None = None
    temperature: float | None = None
    parallel_tool_calls: bool | None = None

    @classmethod
    def first(cls, model: str, parts: Parts) -> Settings:
        """What a session begins with: all that there is."""
        return cls(
            model,
            modalities=("audio",) if parts.voices else ("text",),
            ears=next(iter(parts.ears), ""),
            turns=TurnDetection("server_vad") if parts.detects and parts.ears else None,
            speaker=Speaker.of(parts, None, None, "audio.output") if parts.voices else None,
        )

    @property
    def speaks(self) -> bool:
        return "audio" in self.modalities

    def updated(self, wish: SessionUpdate, parts: Parts) -> Settings:
        """As the client wants it. Raises MeshError for what cannot be had, and then nothing has changed."""
        if wish.type != "realtime":
            raise bad("Sessions here are of the type 'realtime'.", "session.type")
        if wish.model is not None and wish.model != self.model:
            raise bad("A session keeps its model. Connect anew with `?model=`.", "session.model")
        _refuse_all(wish)
        changed = self._generating(wish)
        if isinstance(wish.audio, AudioWish):
            if isinstance(wish.audio.input, InputWish):
                changed = changed._listening(wish.audio.input, parts)
            if isinstance(wish.audio.output, OutputWish):
                changed = changed._speaking(wish.audio.output, parts)
        return changed._checked()

    def for_response(self, wish: ResponseWish, parts: Parts) -> Settings:
        """Of one response. Raises MeshError."""
        _refuse_all(wish)
        changed = self._generating(wish)
        if isinstance(wish.audio, AudioWish):
            if wish.audio.input is not UNSET:
                raise bad("A response has no settings of the input.", "response.audio.input")
            if isinstance(wish.audio.output, OutputWish):
                changed = changed._speaking(wish.audio.output, parts)
        return changed._checked()

    def _generating(self, wish: SessionUpdate | ResponseWish) -> Settings:
        changes: dict[str, Any] = {}
        if isinstance(wish.output_modalities, list):
            changes["modalities"] = _modalities(wish.output_modalities)
        if isinstance(wish.instructions, str):
            changes["instructions"] = wish.instructions
        if isinstance(wish.tools, list):
            changes["tools"] = tuple(map(_tool, wish.tools))
        if wish.tool_choice is not UNSET:
            changes["tool_choice"] = wish.tool_choice
        if wish.max_output_tokens is not UNSET:
            changes["most_tokens"] = None if wish.max_output_tokens == "inf" else wish.max_output_tokens
        if wish.temperature is not UNSET:
            changes["temperature"] = wish.temperature
        if wish.parallel_tool_calls is not UNSET:
            changes["parallel_tool_calls"] = wish.parallel_tool_calls
        return replace(self, **changes)

    def _listening(self, wish: InputWish, parts: Parts) -> Settings:
        changes: dict[str, Any] = {}
        if wish.noise_reduction is not None:
            raise bad("Nothing here takes noise out of sound. Leave it out.", "audio.input.noise_reduction")
        if isinstance(wish.format, AudioFormat):
            changes["input"] = _format(wish.format, "audio.input.format")
        if wish.transcription is not UNSET:
            changes |= _ears(wish.transcription, parts)
        if isinstance(wish.turn_detection, TurnDetection):
            changes["turns"] = _turns(wish.turn_detection, parts)
        elif wish.turn_detection is None:
            changes["turns"] = None
        return replace(self, **changes)

    def _speaking(self, wish: OutputWish, parts: Parts) -> Settings:
        changes: dict[str, Any] = {}
        if isinstance(wish.format, AudioFormat):
            changes["output"] = _format(wish.format, "audio.output.format")
        if isinstance(wish.speed, float):
            if not SLOWEST <= wish.speed <= FASTEST:
                raise bad(f"The speed is from {SLOWEST} to {FASTEST}.", "audio.output.speed")
            changes["speed"] = wish.speed
        voice = wish.voice.id if isinstance(wish.voice, VoiceId) else wish.voice
        if voice is not UNSET or wish.model is not UNSET:
            changes["speaker"] = Speaker.of(
                parts,
                None if isinstance(wish.model, UnsetType) else wish.model,
                None if isinstance(voice, UnsetType) else voice,
                "audio.output",
            )
        return replace(self, **changes)

    def _checked(self) -> Settings:
        if self.speaks and self.speaker is None:
            raise missing_part(NO_VOICE, "output_modalities")
        return self

    @property
    def output_wire(self) -> JsonObject:
        """How it speaks, as it is told."""
        told: JsonObject = {"format": self.output.wire, "speed": self.speed}
        if self.speaker is not None:
            told |= {"voice": self.speaker.voice or None, "model": self.speaker.model}
        return told

    def wire(self, session_id: str, expires_at: int) -> JsonObject:
        """The session as its client is told of it."""
        heard = {"model": self.ears, "language": self.language or None, "prompt": self.hint or None}
        return {
            "type": "realtime",
            "object": "realtime.session",
            "id": session_id,
            "expires_at": expires_at,
            "model": self.model,
            "output_modalities": [*self.modalities],
            "instructions": self.instructions,
            "audio": {
                "input": {
                    "format": self.input.wire,
                    "transcription": heard if self.ears and self.tells_words else None,
                    "noise_reduction": None,
                    "turn_detection": _turns_wire(self.turns),
                },
                "output": self.output_wire,
            },
            "tools": [*self.tools],
            "tool_choice": self.tool_choice,
            "max_output_tokens": "inf" if self.most_tokens is None else self.most_tokens,
            "include": None,
            "prompt": None,
            "tracing": None,
            "truncation": "disabled",
            "nexus": {
                "chain": {
                    "transcription": self.ears or None,
                    "chat": self.model,
                    "speech": self.speaker.model if self.speaker is not None and self.speaks else None,
                }
            },
        }


def _turns_wire(turns: TurnDetection | None) -> JsonObject | None:
    if turns is None:
        return None
    return {
        "type": turns.type,
        "threshold": turns.threshold,
        "prefix_padding_ms": turns.prefix_padding_ms,
        "silence_duration_ms": turns.silence_duration_ms,
        "create_response": turns.create_response,
        "interrupt_response": turns.interrupt_response,
        "idle_timeout_ms": None,
    }


def _refuse_all(wish: SessionUpdate | ResponseWish) -> None:
    """What nothing here can do."""
    if wish.prompt is not None:
        raise bad("No prompts are kept here. Send `instructions`.", "prompt", "unsupported_parameter")
    if wish.reasoning is not None:
        raise bad(
            "How much a model thinks is not set here. Leave it out.", "reasoning", "unsupported_parameter"
        )
    if isinstance(wish, SessionUpdate):
        if wish.include:
            raise bad(
                "There is nothing to include. Leave it out.", "session.include", "unsupported_parameter"
            )
        if wish.tracing not in (None, "auto"):
            raise bad(
                "Sessions are not traced here. Leave it out.", "session.tracing", "unsupported_parameter"
            )
        if wish.truncation not in (None, "disabled", "auto"):
            raise bad(
                "A conversation is never cut here: one that is too long for its model is refused. Leave it out.",
                "session.truncation",
                "unsupported_parameter",
            )


def _modalities(wanted: list[Any]) -> tuple[str, ...]:
    if wanted not in (["text"], ["audio"]):
        raise bad("Ask for ['text'], or for ['audio'], which has its words beside it.", "output_modalities")
    return tuple(wanted)


def _tool(given: JsonObject) -> JsonObject:
    """One of the client's functions, as it is told back."""
    if given.get("type") != "function" or not isinstance(given.get("name"), str):
        raise bad("Each tool is {'type': 'function', 'name', 'description', 'parameters'}.", "tools")
    return {name: given[name] for name in ("type", "name", "description", "parameters") if name in given}


def _format(wanted: AudioFormat, path: str) -> Format:
    form = FORMATS[wanted.type]
    if wanted.rate not in (UNSET, None, form.rate):
        raise bad(f"{form.type} has {form.rate} samples a second here.", f"{path}.rate")
    return form


def _ears(wish: TranscriptionWish | UnsetType | None, parts: Parts) -> dict[str, Any]:
    if not isinstance(wish, TranscriptionWish):
        return {"tells_words": False}
    if not parts.ears:
        raise missing_part(NO_EARS, "audio.input.transcription")
    model = wish.model or parts.ears[0]
    if model not in parts.ears:
        raise bad(
            f"No model {model[:64]!r} transcribes. There are {listed(parts.ears)}; the operator can give one of them "
            "this name as an alias.",
            "audio.input.transcription.model",
        )
    return {"ears": model, "language": wish.language or "", "hint": wish.prompt or "", "tells_words": True}


def _turns(wish: TurnDetection, parts: Parts) -> TurnDetection:
    where = "audio.input.turn_detection"
    if wish.type != "server_vad":
        raise bad(
            "The end of a turn is found by 'server_vad' only.", f"{where}.type", "unsupported_parameter"
        )
    if not parts.detects:
        raise missing_part(NO_DETECTOR, where)
    if not parts.ears:
        raise missing_part(NO_EARS, where)
    if wish.idle_timeout_ms is not None or wish.eagerness is not None:
        name = "idle_timeout_ms" if wish.idle_timeout_ms is not None else "eagerness"
        raise bad("It is not known here. Leave it out.", f"{where}.{name}", "unsupported_parameter")
    for name, value, low, high in (
        ("threshold", wish.threshold, 0.0, 1.0),
        ("prefix_padding_ms", wish.prefix_padding_ms, 0, 5_000),
        ("silence_duration_ms", wish.silence_duration_ms, 100, 10_000),
    ):
        if not low <= value <= high:
            raise bad(f"It is from {low} to {high}.", f"{where}.{name}")
    return wish
