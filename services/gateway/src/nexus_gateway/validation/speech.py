"""Speech: a text, a voice, and how the sound of it is to come."""

from __future__ import annotations

from nexus_mesh.core import JsonObject
from nexus_operations import AUDIO

from nexus_gateway.validation.body_rules import BodyRules, explained
from nexus_gateway.validation.params import SAYS_SOMETHING, Rule, check_object, number, one_of, shaped, string
from nexus_gateway.validation.refusals import bad_value, missing, unsupported, wrong_type

__all__ = ["OF_SPEECH", "check_speech", "takes_events"]

MAX_CHARACTERS = 65_536
"""Of a text. OpenAI takes 4,096; what an engine takes within this bound is its own to tell."""
MAX_VOICE = 256
USUAL_FORMAT = "mp3"

_name = string(MAX_VOICE, shortest=1)


@shaped(const=False)
def _never_streamed(value: object, path: str) -> None:
    if value is not False:
        raise unsupported(
            path, "speech comes as it is made. For events in place of bytes say 'stream_format': 'sse'."
        )


@shaped(
    anyOf=[
        {"type": "string", "minLength": 1, "maxLength": MAX_VOICE},
        {
            "type": "object",
            "required": ["id"],
            "properties": {"id": {"type": "string", "minLength": 1, "maxLength": MAX_VOICE}},
        },
    ]
)
def _voice(value: object, path: str) -> None:
    """Its name, or an object with it."""
    if type(value) is dict:
        if "id" not in value:
            raise missing(f"{path}.id")
        _name(value["id"], f"{path}.id")
    elif type(value) is str:
        _name(value, path)
    else:
        raise wrong_type(path, "a string, or an object with an id", value)


OF_SPEECH: dict[str, Rule] = {
    "model": string(65_536),
    "input": string(MAX_CHARACTERS, shortest=1),
    "voice": _voice,
    "response_format": one_of(*AUDIO),
    "speed": number(0.25, 4),
    "instructions": string(4096),
    "stream_format": one_of("audio", "sse"),
    "stream": _never_streamed,
}


@explained(
    BodyRules(
        required=("voice",),
        own=frozenset({"stream_format"}),
        defaults={"response_format": USUAL_FORMAT, "stream_format": "audio"},
        hidden=frozenset({"stream"}),
        said=frozenset({"response_format"}),
        narrower={
            "input": {"type": "string", "pattern": SAYS_SOMETHING, "maxLength": MAX_CHARACTERS},
            "voice": {"type": "string", "minLength": 1, "maxLength": MAX_VOICE},
        },
    )
)
def check_speech(body: JsonObject) -> tuple[dict[int, str], int]:
    """No capabilities, and one answer. A voice is its name from now on; which there are is the backend's word."""
    check_object(body, OF_SPEECH, ("model", "input", "voice"))
    if type(body["voice"]) is dict:
        body["voice"] = body["voice"]["id"]
    if not body["input"].strip():
        raise bad_value("input", "have something to say")
    body.pop("stream", None)
    body.setdefault("response_format", USUAL_FORMAT)
    return {}, 1


def takes_events(body: JsonObject) -> bool:
    """Whether the bytes shall come in events. That is between the client and us."""
    return body.pop("stream_format", "audio") == "sse"
