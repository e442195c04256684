"""POST /v1/embeddings: what its body may say and what a model must be able to do for it."""

from __future__ import annotations

from typing import Any

from nexus.types.v1 import model_pb2

from nexus_gateway.validation.params import Rule, check_object, integer, one_of, string
from nexus_gateway.validation.refusals import bad_value, unsupported
from nexus_gateway.validation.tokens import check_texts_or_tokens

MAX_INPUTS = 2048
MAX_DIMENSIONS = 65_536


def _never_streamed(value: Any, path: str) -> None:
    if value is not False:
        raise unsupported(path, "embeddings come in one piece. Remove it.")


RULES: dict[str, Rule] = {
    "model": string(65_536),
    "input": lambda _value, _path: None,  # counted and checked in one go
    "encoding_format": one_of("float", "base64"),
    "dimensions": integer(1, MAX_DIMENSIONS),
    "user": string(512),
    "stream": _never_streamed,
}


def check_embedding(body: dict[str, Any]) -> tuple[dict[int, str], int]:
    """Capabilities needed and vectors asked for."""
    check_object(body, RULES, ("model", "input"))
    inputs, tokens = check_texts_or_tokens(body["input"], "input", MAX_INPUTS)
    if body["input"] == "" or (type(body["input"]) is list and "" in body["input"]):
        raise bad_value("input", "not hold an empty string")
    return ({model_pb2.CAPABILITY_TOKEN_INPUT: "input"} if tokens else {}), inputs
