"""Videos: a prompt, how long and how large it is to be, and a picture that it begins with."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from nexus_mesh.core import JsonObject, MeshError, Reason
from nexus_operations import Operation

from nexus_gateway.validation.body_rules import BodyRules, explained
from nexus_gateway.validation.images import clean_image_url, is_link
from nexus_gateway.validation.params import (
    MAX_INT64,
    SAYS_SOMETHING,
    Rule,
    check_object,
    integer,
    number,
    shaped,
    string,
)
from nexus_gateway.validation.refusals import bad_value, invalid, unsupported, wrong_type

__all__ = ["OF_VIDEO", "REMIXED", "check_video", "defaults_of", "with_defaults"]

MAX_CHARACTERS = 32_000
"""Of a prompt: OpenAI's."""
MAX_STEPS = 1_000
MAX_RATE = 240
SIZE = re.compile(r"[1-9][0-9]{0,4}x[1-9][0-9]{0,4}")
SECONDS = re.compile(r"[1-9][0-9]{0,3}")
USUAL: JsonObject = {"seconds": "4", "size": "720x1280"}
"""What OpenAI makes of a request that does not say."""
REMIXED = "remix_video_id"
"""The parameter that names the video, by its engine's own id, that is to be made anew."""


def _text_of(pattern: re.Pattern[str], told: str) -> Rule:
    @shaped(type="string", pattern=f"^({pattern.pattern})$")
    def check(value: object, path: str) -> None:
        if type(value) is not str:
            raise wrong_type(path, "a string", value)
        if not pattern.fullmatch(value):
            raise bad_value(path, told)

    return check


@shaped(type="object", required=["image_url"], properties={"image_url": {"type": "string"}})
def _reference(value: object, path: str) -> None:
    if type(value) is not dict:
        raise wrong_type(path, "a file of a form, or an object with 'image_url'", value)
    if "file_id" in value:
        raise unsupported(f"{path}.file_id", "this gateway keeps no files by id. Send the picture itself.")
    url = value.get("image_url")
    if type(url) is not str:
        raise wrong_type(f"{path}.image_url", "a string", url)
    if is_link(url):
        raise invalid(
            "invalid_image_url",
            f"'{path}.image_url' must be a data: URL, or the picture a file of a form: for a video nothing is fetched.",
            f"{path}.image_url",
        )
    value["image_url"] = clean_image_url(url, f"{path}.image_url")


OF_VIDEO: dict[str, Rule] = {
    "model": string(65_536),
    "prompt": string(MAX_CHARACTERS, shortest=1),
    "seconds": _text_of(SECONDS, 'be a whole number of seconds in a string, such as "4"'),
    "size": _text_of(SIZE, "be a width and a height in pixels, such as 1280x720"),
    "input_reference": _reference,
    REMIXED: string(255, shortest=1),
    "negative_prompt": string(MAX_CHARACTERS),
    "fps": integer(1, MAX_RATE),
    "steps": integer(1, MAX_STEPS),
    "guidance_scale": number(0, 100),
    "seed": integer(0, MAX_INT64),
    "user": string(512),
}


@explained(
    BodyRules(
        hidden=frozenset({REMIXED, "input_reference"}),
        narrower={"prompt": {"type": "string", "pattern": SAYS_SOMETHING, "maxLength": MAX_CHARACTERS}},
    )
)
def check_video(body: JsonObject) -> tuple[dict[int, str], int]:
    """No capabilities, and one answer. Which sizes and lengths there are is the backend's word."""
    if type(body.get("seconds")) is int:
        body["seconds"] = str(body["seconds"])  # as many clients send it
    check_object(body, OF_VIDEO, ("model", "prompt"))
    if not body["prompt"].strip():
        raise bad_value("prompt", "say what to show")
    return {}, 1


def defaults_of(parameters: tuple[tuple[int, str], ...]) -> JsonObject:
    """The properties of the JSON Schema that a model's backends tell of videos; none where they tell none."""
    for operation, text in parameters:
        if operation == Operation.VIDEO:
            try:
                found: Any = msgspec.json.decode(text)["properties"]
            except (msgspec.MsgspecError, LookupError, TypeError):
                continue  # one backend's nonsense takes nothing from the others
            if isinstance(found, dict):
                return found
    return {}


def with_defaults(body: JsonObject, properties: JsonObject) -> None:
    """Says what was left out, and holds it against what the model takes: a job must not fail for it an hour later.

    Raises INVALID_REQUEST, UNSUPPORTED_PARAMETER.
    """
    for name, usual in USUAL.items():
        rule = properties.get(name) or {}
        body.setdefault(name, rule.get("default", usual))
        choices = rule.get("enum")
        if choices and body[name] not in choices:
            raise bad_value(name, f"be one of {', '.join(map(str, choices))} for this model")
    for name in ("input_reference", REMIXED):
        if name in body and properties and name not in properties:
            raise MeshError(
                Reason.UNSUPPORTED_PARAMETER,
                f"The model {body['model'][:128]!r} does not take '{name}': no backend of it can.",
                metadata={"param": name},
            )
