"""Pictures: a prompt, how many of it and how large, and how they are to come."""

from __future__ import annotations

import re

from nexus_mesh.core import JsonObject
from nexus_operations import PICTURES

from nexus_gateway.validation.params import (
    MAX_INT64,
    Rule,
    boolean,
    check_object,
    integer,
    one_of,
    shaped,
    string,
)
from nexus_gateway.validation.refusals import bad_value, wrong_type

__all__ = ["OF_PICTURES", "QUALITIES", "check_pictures"]

MAX_CHARACTERS = 32_000
"""Of a prompt: OpenAI's."""
MAX_PICTURES = 10
MAX_PARTIALS = 3
MAX_STEPS = 1_000
QUALITIES = ("auto", "low", "medium", "high", "xhigh", "max", "standard", "hd")
SIZE = re.compile(r"auto|[1-9][0-9]{0,4}x[1-9][0-9]{0,4}")
LOSING = ("jpeg", "webp")


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
}


def check_pictures(body: JsonObject) -> tuple[dict[int, str], int]:
    """No capabilities, and `n` answers. What is between the client and us does not travel on; which sizes and the like
    there are is the backend's word."""
    check_object(body, OF_PICTURES, ("model", "prompt"))
    if not body["prompt"].strip():
        raise bad_value("prompt", "say what to paint")
    if body.pop("response_format", None) == "url" and body.get("stream"):
        raise bad_value(
            "response_format", "be 'b64_json' with 'stream': true, whose events hold the pictures"
        )
    if body.get("moderation") == "auto":
        del body["moderation"]
    form = body.setdefault("output_format", "png")
    if body.get("output_compression", 100) != 100 and form not in LOSING:
        raise bad_value(
            "output_compression", f"be 100 for {form}, which loses nothing; jpeg and webp take less"
        )
    if body.get("background") == "transparent" and form == "jpeg":
        raise bad_value("background", "not be transparent for jpeg, which cannot be; png and webp can")
    _check_stream(body)
    return {}, body.get("n", 1)


def _check_stream(body: JsonObject) -> None:
    if not body.get("stream"):
        if body.pop("partial_images", 0):
            raise bad_value("partial_images", "only be sent with 'stream': true")
    elif body.get("n", 1) != 1:
        raise bad_value("n", "be 1 with 'stream': true: its events do not say which picture they are of")
