"""Recordings: what may be asked of their transcription and translation."""

from __future__ import annotations

from nexus.types.v1 import model_pb2
from nexus_mesh.core import JsonObject

from nexus_gateway.validation.body_rules import BodyRules, When, explained
from nexus_gateway.validation.params import (
    Rule,
    array,
    boolean,
    check_object,
    mapping,
    number,
    one_of,
    shaped,
    string,
    text,
)
from nexus_gateway.validation.refusals import bad_value, unsupported, wrong_type

__all__ = ["OF_TRANSCRIPTION", "OF_TRANSLATION", "check_transcription", "check_translation"]

FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
USUAL_FORMAT = "json"
STREAMED = frozenset({"json", "text"})
MOST_WORDS = 256


def _list_of(rule: Rule, item: JsonObject, most: int) -> Rule:
    @shaped(type="array", items=item, maxItems=most)
    def check(value: object, path: str) -> None:
        entries = array(value, path)
        if len(entries) > most:
            raise bad_value(path, f"have at most {most} entries")
        for index, entry in enumerate(entries):
            rule(entry, f"{path}[{index}]")

    return check


def _words_of(*words: str) -> Rule:
    return _list_of(one_of(*words), {"type": "string", "enum": list(words)}, 8)


@shaped(
    anyOf=[
        {"type": "string", "enum": ["auto"]},
        {"type": "object", "required": ["type"], "properties": {"type": {"const": "server_vad"}}},
    ]
)
def _chunking(value: object, path: str) -> None:
    """`auto`, or how a voice is told from silence."""
    if value == "auto":
        return
    if type(value) is not dict:
        raise wrong_type(path, "'auto' or an object", value)
    if mapping(value, path).get("type") != "server_vad":
        raise bad_value(f"{path}.type", "be 'server_vad'")


_label = {"type": "string", "maxLength": 1024}
OF_TRANSLATION: dict[str, Rule] = {
    "model": string(65_536),
    "prompt": text,
    "response_format": one_of(*FORMATS),
    "temperature": number(0, 1),
}
OF_TRANSCRIPTION: dict[str, Rule] = {
    **OF_TRANSLATION,
    "language": string(35),
    "languages": _list_of(string(35), {"type": "string", "maxLength": 35}, 128),
    "keywords": _list_of(string(1024), _label, MOST_WORDS),
    "include": _words_of("logprobs"),
    "timestamp_granularities": _words_of("word", "segment"),
    "stream": boolean,
    "chunking_strategy": _chunking,
    "known_speaker_names": _list_of(string(1024), _label, 4),
    "known_speaker_references": _list_of(text, {"type": "string"}, 4),
}
SPEAKERS = ("known_speaker_names", "known_speaker_references")


@explained(
    BodyRules(
        defaults={"response_format": USUAL_FORMAT, "stream": False},
        needs={"include": model_pb2.CAPABILITY_LOGPROBS},
        hidden=frozenset(SPEAKERS),
        whens=(
            When("timestamp_granularities", {"response_format": {"const": "verbose_json"}}),
            When(
                "stream",
                {"response_format": {"enum": sorted(STREAMED)}},
                value={"const": True},
                said=False,
            ),
        ),
    )
)
def check_transcription(body: JsonObject) -> tuple[dict[int, str], int]:
    """Capabilities needed, and one answer."""
    if body.get("response_format") == "diarized_json":
        raise unsupported("response_format", "no model here tells speakers apart. Ask for verbose_json.")
    check_object(body, OF_TRANSCRIPTION, ("model",))
    wanted = body.get("response_format", USUAL_FORMAT)
    if body.get("timestamp_granularities") and wanted != "verbose_json":
        raise bad_value("timestamp_granularities", "only be sent with 'response_format': 'verbose_json'")
    if body.get("stream") and wanted not in STREAMED:
        raise bad_value("response_format", "be json or text when the answer is streamed")
    for name in SPEAKERS:
        if body.get(name):
            raise unsupported(name, "no model here tells speakers apart. Leave it out.")
    needs: dict[int, str] = {}
    if body.get("include"):
        needs[model_pb2.CAPABILITY_LOGPROBS] = "include"
    return needs, 1


@explained(BodyRules(defaults={"response_format": USUAL_FORMAT}))
def check_translation(body: JsonObject) -> tuple[dict[int, str], int]:
    """The same: it goes into English, always."""
    check_object(body, OF_TRANSLATION, ("model",))
    if body.get("stream"):
        raise unsupported("stream", "a translation comes in one piece. Remove it.")
    return {}, 1
