"""Completions and embeddings: prompts as texts or token ids, and what a model must be able to do for them."""

from __future__ import annotations

from nexus.types.v1 import model_pb2
from nexus_mesh.core import JsonArray, JsonObject

from nexus_gateway.validation.body_rules import BodyRules, When, explained
from nexus_gateway.validation.params import (
    MAX_ALTERNATIVES,
    MAX_CHOICES,
    MAX_TOKENS,
    SAMPLING,
    SAYS_NOTHING,
    SOME_TOKENS,
    Rule,
    boolean,
    check_object,
    checked_later,
    drop_nothings,
    integer,
    one_of,
    shaped,
    string,
    text,
)
from nexus_gateway.validation.refusals import bad_value, unsupported, wrong_type

MAX_IDS = 300_000
"""Over all inputs, as OpenAI has it."""

_IDS = {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}}
TEXTS_OR_TOKENS: JsonObject = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "minItems": 1, "items": {"type": "string"}},
        _IDS,
        {"type": "array", "minItems": 1, "items": _IDS},
    ]
}

_EXPECTED = "a string, an array of strings, or arrays of token ids"


def check_texts_or_tokens(value: object, path: str, most: int) -> tuple[int, bool]:
    """How many inputs `value` holds, and whether they are token ids. MeshError INVALID_REQUEST."""
    if type(value) is str:
        return 1, False
    if type(value) is not list:
        raise wrong_type(path, _EXPECTED, value)
    if not value:
        raise bad_value(path, "not be empty")
    kind = type(value[0])
    if kind is int:
        _check_ids(value, path)
        _check_sum(len(value), path)
        return 1, True
    if kind not in (str, list):
        raise wrong_type(f"{path}[0]", _EXPECTED, value[0])
    if len(value) > most:
        raise bad_value(path, f"have at most {most} entries")
    for index, item in enumerate(value):
        if type(item) is not kind:
            raise wrong_type(f"{path}[{index}]", "of the same type as the first entry", item)
        if type(item) is list:
            _check_ids(item, f"{path}[{index}]")
    if kind is list:
        _check_sum(sum(map(len, value)), path)
    return len(value), kind is list


def _check_ids(ids: JsonArray, path: str) -> None:
    if not ids:
        raise bad_value(path, "not be empty")
    if set(map(type, ids)) == {int} and min(ids) >= 0 and max(ids) < 2**31:
        return
    for index, item in enumerate(ids):
        if type(item) is not int:
            raise wrong_type(f"{path}[{index}]", "a token id", item)
        if not 0 <= item < 2**31:
            raise bad_value(f"{path}[{index}]", "be a token id")


def _check_sum(ids: int, path: str) -> None:
    if ids > MAX_IDS:
        raise bad_value(path, f"have at most {MAX_IDS} token ids in all")


MAX_PROMPTS = 128


OF_COMPLETION: dict[str, Rule] = {
    **SAMPLING,
    "prompt": checked_later(**TEXTS_OR_TOKENS),  # counted and checked in one go
    "suffix": text,
    "echo": boolean,
    # Without it OpenAI's 16 would be meant: -1, no limit, has to be said to the engine.
    "max_tokens": integer(-1, MAX_TOKENS),
    "logprobs": integer(0, MAX_ALTERNATIVES),
    "best_of": integer(1, 20),
}


@explained(
    BodyRules(
        defaults={"stream": False, "n": 1, "echo": False, "suffix": "", "stop": [], "logit_bias": {}},
        needs={"logprobs": model_pb2.CAPABILITY_LOGPROBS, "n": model_pb2.CAPABILITY_CHOICES},
        hidden=frozenset({"best_of"}),
        narrower={
            "prompt": {"type": "string", "minLength": 1},
            "max_tokens": SOME_TOKENS,
        },
        whens=(When("stream_options", {"stream": {"const": True}}),),
    )
)
def check_completion(body: JsonObject) -> tuple[dict[int, str], int]:
    """Capabilities needed and choices asked for: every prompt gives `n` of them."""
    check_object(body, OF_COMPLETION, ("model", "prompt"))
    drop_nothings(body, SAYS_NOTHING)
    if body.get("max_tokens") == 0 and not body.get("echo"):
        raise bad_value("max_tokens", "be at least 1 unless the prompt is echoed")
    needs: dict[int, str] = {}
    prompts, tokens = check_texts_or_tokens(body["prompt"], "prompt", MAX_PROMPTS)
    if tokens:
        needs[model_pb2.CAPABILITY_TOKEN_INPUT] = "prompt"
    if "logprobs" in body:
        needs[model_pb2.CAPABILITY_LOGPROBS] = "logprobs"
    choices = prompts * body.get("n", 1)
    if choices > MAX_CHOICES:
        raise bad_value("n", f"give at most {MAX_CHOICES} choices over all prompts")
    if body.get("best_of", 1) < body.get("n", 1) and "best_of" in body:
        raise bad_value("best_of", "be at least 'n'")
    if choices > 1 or body.get("best_of", 1) > 1:
        needs[model_pb2.CAPABILITY_CHOICES] = (
            "prompt" if prompts > 1 else "n" if body.get("n", 1) > 1 else "best_of"
        )
    return needs, choices


MAX_INPUTS = 2048
MAX_DIMENSIONS = 65_536


@shaped(const=False)
def _never_streamed(value: object, path: str) -> None:
    if value is not False:
        raise unsupported(path, "embeddings come in one piece. Remove it.")


OF_EMBEDDING: dict[str, Rule] = {
    "model": string(65_536),
    "input": checked_later(**TEXTS_OR_TOKENS),  # counted and checked in one go
    "encoding_format": one_of("float", "base64"),
    "dimensions": integer(1, MAX_DIMENSIONS),
    "user": string(512),
    "stream": _never_streamed,
}


_TEXT = {"type": "string", "minLength": 1}


@explained(
    BodyRules(
        defaults={"encoding_format": "float"},
        own=frozenset({"encoding_format"}),
        hidden=frozenset({"stream"}),
        narrower={
            "input": {
                "anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": MAX_INPUTS}]
            }
        },
    )
)
def check_embedding(body: JsonObject) -> tuple[dict[int, str], int]:
    """Capabilities needed and vectors asked for."""
    check_object(body, OF_EMBEDDING, ("model", "input"))
    inputs, tokens = check_texts_or_tokens(body["input"], "input", MAX_INPUTS)
    if body["input"] == "" or (type(body["input"]) is list and "" in body["input"]):
        raise bad_value("input", "not hold an empty string")
    return ({model_pb2.CAPABILITY_TOKEN_INPUT: "input"} if tokens else {}), inputs
