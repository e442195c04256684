"""Pictures: a prompt, or pictures to change, how many of it and how large, and how they are to come."""

from __future__ import annotations

import re
from dataclasses import replace

from nexus_mesh.core import JsonObject
from nexus_operations import PICTURES

from nexus_gateway.validation.body_rules import BodyRules, When, explained
from nexus_gateway.validation.params import (
    MAX_INT64,
    SAYS_SOMETHING,
    Rule,
    boolean,
    check_object,
    integer,
    number,
    one_of,
    shaped,
    string,
)
from nexus_gateway.validation.refusals import bad_value, unsupported, wrong_type

__all__ = [
    "OF_EDITS",
    "OF_PICTURES",
    "OF_VARIATIONS",
    "QUALITIES",
    "check_edits",
    "check_pictures",
    "check_variations",
]

MAX_CHARACTERS = 32_000
"""Of a prompt: OpenAI's."""
MAX_PICTURES = 10
MAX_PARTIALS = 3
MAX_STEPS = 1_000
MAX_WEIGHT = 100
QUALITIES = ("auto", "low", "medium", "high", "xhigh", "max", "standard", "hd")
SIZE = re.compile(r"auto|[1-9][0-9]{0,4}x[1-9][0-9]{0,4}")
LOSING = ("jpeg", "webp")
USUAL_FORMAT = "png"


@shaped(type="string", pattern=f"^({SIZE.pattern})$")
def _size(value: object, path: str) -> None:
    if type(value) is not str:
        raise wrong_type(path, "a string", value)
    if not SIZE.fullmatch(value):
        raise bad_value(path, "be auto, or a width and a height in pixels such as 256x256")


OF_PICTURES: dict[str, Rule] = {
    "model": string(65_536),
    "prompt": string(MAX_CHARACTERS, shortest=1),
    "n": integer(1, MAX_PICTURES),
    "size": _size,
    "quality": one_of(*QUALITIES),
    "response_format": one_of("b64_json", "url"),
    "output_format": one_of(*PICTURES),
    "output_compression": integer(0, 100),
    "background": one_of("auto", "opaque", "transparent"),
    "moderation": one_of("auto", "low"),
    "style": one_of("vivid", "natural"),
    "stream": boolean,
    "partial_images": integer(0, MAX_PARTIALS),
    "user": string(512),
    "seed": integer(0, MAX_INT64),
    "steps": integer(1, MAX_STEPS),
    "negative_prompt": string(MAX_CHARACTERS),
    "guidance_scale": number(0, MAX_WEIGHT),
    "sampler": string(128, shortest=1),
    "scheduler": string(128, shortest=1),
    "lora_name": string(512, shortest=1),
    "lora_strength": number(-MAX_WEIGHT, MAX_WEIGHT),
}
CHANGED: dict[str, Rule] = {"strength": number(0, 1), "input_fidelity": one_of("high", "low")}
"""How much of a picture is to be made anew, by engines' word and by OpenAI's."""


@shaped(type="boolean", enum=[False])
def _not_streamed(value: object, path: str) -> None:
    boolean(value, path)
    if value:
        raise unsupported(path, "a variation comes when it is whole. Remove it.")


OF_EDITS: dict[str, Rule] = {name: rule for name, rule in OF_PICTURES.items() if name != "style"} | CHANGED
WITH_THE_STREAM = frozenset({"stream", "partial_images", "moderation"})
OF_VARIATIONS: dict[str, Rule] = {
    **{name: rule for name, rule in OF_EDITS.items() if name not in WITH_THE_STREAM},
    "stream": _not_streamed,
}


_WHOLE: JsonObject = {"type": "string", "enum": ["b64_json"]}
"""Links need a store, and no stream."""
_RULES = BodyRules(
    own=frozenset({"response_format", "stream"}),
    defaults={"n": 1, "response_format": "b64_json", "output_format": USUAL_FORMAT, "stream": False},
    said=frozenset({"output_format"}),
    hidden=frozenset({"moderation"}),
    narrower={
        "prompt": {"type": "string", "pattern": SAYS_SOMETHING, "maxLength": MAX_CHARACTERS},
        "response_format": _WHOLE,
    },
    whens=(
        When("output_compression", {"output_format": {"enum": [*LOSING]}}, value={"not": {"const": 100}}),
        When(
            "background",
            {"output_format": {"not": {"const": "jpeg"}}},
            value={"const": "transparent"},
            said=False,
        ),
        When("partial_images", {"stream": {"const": True}}, value={"minimum": 1}),
        When("stream", {"n": {"const": 1}}, value={"const": True}, said=False),
    ),
)
_OF_CHANGES = replace(_RULES, hidden=_RULES.hidden | {"input_fidelity"})  # `strength` says it by a number


@explained(_RULES)
def check_pictures(body: JsonObject) -> tuple[dict[int, str], int]:
    """No capabilities, and `n` answers. What is between the client and us does not travel on; which sizes and the like
    there are is the backend's word."""
    check_object(body, OF_PICTURES, ("model", "prompt"))
    return _checked(body)


@explained(_OF_CHANGES)
def check_edits(body: JsonObject) -> tuple[dict[int, str], int]:
    """The same of what is made of pictures and a prompt."""
    check_object(body, OF_EDITS, ("model", "prompt"))
    if "strength" in body and "input_fidelity" in body:
        raise bad_value("strength", "be left out where 'input_fidelity' says how much of the picture stays")
    return _checked(body)


@explained(replace(_OF_CHANGES, narrower={"response_format": _WHOLE}, hidden=_OF_CHANGES.hidden | {"stream"}))
def check_variations(body: JsonObject) -> tuple[dict[int, str], int]:
    """The same of what is made of a picture alone."""
    check_object(body, OF_VARIATIONS, ("model",))
    return _checked(body)


def _checked(body: JsonObject) -> tuple[dict[int, str], int]:
    if not body.get("prompt", "-").strip():
        raise bad_value("prompt", "say what to paint")
    if body.pop("response_format", None) == "url" and body.get("stream"):
        raise bad_value(
            "response_format", "be 'b64_json' with 'stream': true, whose events hold the pictures"
        )
    if body.get("moderation") == "auto":
        del body["moderation"]
    form = body.setdefault("output_format", USUAL_FORMAT)
    if body.get("output_compression", 100) != 100 and form not in LOSING:
        raise bad_value(
            "output_compression", f"be 100 for {form}, which loses nothing; jpeg and webp take less"
        )
    if body.get("background") == "transparent" and form == "jpeg":
        raise bad_value("background", "not be transparent for jpeg, which cannot be; png and webp can")
    if not body.get("stream") and body.pop("partial_images", 0):
        raise bad_value("partial_images", "only be sent with 'stream': true")
    return {}, body.get("n", 1)
