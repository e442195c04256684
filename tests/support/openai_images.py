"""OpenAI's own schemas of answers that are pictures, from openai/openai-openapi f85dbe2 (2.3.0), MIT.

`size` and `quality` are any text, as in the official clients since: newer models have others.
"""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

__all__ = ["validate_event", "validate_images"]

TEXT, NUMBER = {"type": "string"}, {"type": "integer"}
FORMAT = {"type": "string", "enum": ["png", "webp", "jpeg"]}


def _object(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


USAGE = _object(
    ("total_tokens", "input_tokens", "output_tokens", "input_tokens_details"),
    total_tokens=NUMBER,
    input_tokens=NUMBER,
    output_tokens=NUMBER,
    input_tokens_details=_object(("text_tokens", "image_tokens"), text_tokens=NUMBER, image_tokens=NUMBER),
)
IMAGE = _object((), b64_json=TEXT, url={"type": "string", "format": "uri"}, revised_prompt=TEXT)
IMAGES = _object(
    ("created",),
    created=NUMBER,
    data={"type": "array", "items": IMAGE},
    background={"type": "string", "enum": ["transparent", "opaque"]},
    output_format=FORMAT,
    size=TEXT,
    quality=TEXT,
    usage=USAGE,
)
OF_EVENTS = ("type", "b64_json", "created_at", "size", "quality", "background", "output_format")


def _event(kind: str, last: str, shape: dict[str, Any]) -> dict[str, Any]:
    return _object(
        (*OF_EVENTS, last),
        type={"const": kind},
        b64_json=TEXT,
        created_at=NUMBER,
        size=TEXT,
        quality=TEXT,
        background={"type": "string", "enum": ["transparent", "opaque", "auto"]},
        output_format=FORMAT,
        **{last: shape},
    )


EVENTS = {
    f"{family}.{step}": _event(f"{family}.{step}", last, shape)
    for family in ("image_generation", "image_edit")
    for step, last, shape in (
        ("partial_image", "partial_image_index", NUMBER),
        ("completed", "usage", USAGE),
    )
}


def validate_images(answer: Any) -> None:
    """Raises ValidationError for what is no ImagesResponse."""
    Draft202012Validator(IMAGES).validate(answer)


def validate_event(event: Any) -> None:
    """Raises KeyError for one of no known type, ValidationError for one that is not what its type says."""
    Draft202012Validator(EVENTS[event["type"]]).validate(event)
