"""Who takes which part in a chain: the models that hear and speak, and their voices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from nexus_mesh.core import MeshError, Reason
from nexus_operations import Operation

from nexus_gateway.access import Principal
from nexus_gateway.dialects.dialect import ModelRow

__all__ = ["NO_EARS", "NO_VOICE", "Parts", "Speaker", "as_kept", "listed", "missing_part", "parts_of"]

NO_VOICE = (
    "No model that speaks is in the mesh, or this key may use none. `nexus up` brings one; or ask for "
    "text alone."
)
NO_EARS = (
    "No model that transcribes is in the mesh, or this key may use none. Have the operator run "
    "`nexus pull whisper:base`; or send text in place of sound."
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the caller may use now. `voices`: by the models that speak; none = its backends do not say.

    `detects`: whether the gateway can find the end of what is said.
    """

    ears: tuple[str, ...] = ()
    voices: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    detects: bool = False


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who speaks, and in which voice. `voice` empty: its model has not said which there are."""

    model: str
    voice: str

    @classmethod
    def of(cls, parts: Parts, model: str | None, voice: str | None, where: str) -> Speaker:
        """The first that fits. Raises MeshError when there is none. `where`: the parameter that asks for it."""
        if not parts.voices:
            raise missing_part(NO_VOICE, where)
        if model is not None and model not in parts.voices:
            raise _unknown(
                f"No model {model[:64]!r} speaks. There are {listed(parts.voices)}.", f"{where}.model"
            )
        able = [model] if model is not None else list(parts.voices)
        if voice is None:
            return cls(able[0], next(iter(parts.voices[able[0]]), ""))
        for each in able:
            if not parts.voices[each] or voice in parts.voices[each]:
                return cls(each, voice)
        known = listed(dict.fromkeys(name for each in able for name in parts.voices[each]))
        raise _unknown(f"There is no voice {voice[:64]!r}. There are {known}.", f"{where}.voice")


def as_kept(principal: Principal, zone: str | None) -> Principal:
    """Who asks, as one who may use nothing outside a zone that it demands."""
    return principal if zone is None else replace(principal, zones=principal.zones | {zone}, manage=False)


def parts_of(rows: Iterable[ModelRow], *, detects: bool = False) -> Parts:
    """What there is among the models that somebody may use."""
    rows = list(rows)
    ears = tuple(row.id for row in rows if Operation.TRANSCRIPTION in row.operations)
    voices = {
        row.id: tuple(
            voice for number, text in row.parameters if number == Operation.SPEECH for voice in _voices(text)
        )
        for row in rows
        if Operation.SPEECH in row.operations
    }
    return Parts(ears, voices, detects)


def _voices(schema: str) -> list[str]:
    """Names in what a backend says of its parameters, its default before the others."""
    try:
        rule = msgspec.json.decode(schema, type=dict[str, Any])["properties"]["voice"]
        names = [str(one["const"]) for one in rule.get("oneOf", ())]
        names += [str(name) for name in rule.get("enum", ())]
        default = rule.get("default")
    except (msgspec.MsgspecError, LookupError, TypeError, AttributeError):
        return []
    return sorted(names, key=lambda name: name != default) if default in names else names


def missing_part(message: str, param: str) -> MeshError:
    return MeshError(Reason.CAPABILITY_MISSING, message, metadata={"param": param})


def listed(names: Iterable[str]) -> str:
    known = sorted(names)
    return ", ".join(known[:40]) + (f" and {len(known) - 40} more" if len(known) > 40 else "")


def _unknown(message: str, param: str) -> MeshError:
    return MeshError(Reason.INVALID_REQUEST, message, metadata={"code": "invalid_value", "param": param})
