"""What a request body may say: refusals name the parameter by its path, needs are read off, the rest travels on."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from nexus.types.v1 import model_pb2
from nexus_gateway.request import InferenceRequest
from nexus_gateway.validation.denied import ROUTING, TEMPLATE
from nexus_gateway.validation.parse import parse_request
from nexus_gateway.validation.pattern import is_risky
from nexus_mesh.errors import MeshError, Reason

CHAT, COMPLETION, EMBEDDING = (
    model_pb2.OPERATION_CHAT,
    model_pb2.OPERATION_COMPLETION,
    model_pb2.OPERATION_EMBEDDING,
)
GOOD: dict[int, dict[str, Any]] = {
    CHAT: {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    COMPLETION: {"model": "m", "prompt": "hi"},
    EMBEDDING: {"model": "m", "input": "hi"},
}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
TYPE, VALUE, MISSING, UNSUPPORTED = (
    "invalid_type",
    "invalid_value",
    "missing_required_parameter",
    "unsupported",
)


def png(width: int = 1, height: int = 1) -> str:
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\0" * 20
    return "data:image/png;base64," + base64.b64encode(data).decode()


def parsed(operation: int, **fields: Any) -> InferenceRequest:
    body = {name: value for name, value in {**GOOD[operation], **fields}.items() if value is not ...}
    return parse_request(operation, json.dumps(body).encode(), request_id="req_1", credential=None)


def user(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


def image(url: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


BAD: list[tuple[int, dict[str, Any], str, str | None]] = [
    (CHAT, {"model": ...}, MISSING, "model"),
    (CHAT, {"messages": ...}, MISSING, "messages"),
    (CHAT, {"messages": []}, MISSING, "messages"),
    (CHAT, {"model": None}, TYPE, "model"),
    (CHAT, {"model": 5}, TYPE, "model"),
    (CHAT, {"model": "a\0b"}, VALUE, "model"),
    (CHAT, {"messages": "x"}, TYPE, "messages"),
    (CHAT, {"messages": ["x"]}, TYPE, "messages[0]"),
    (CHAT, {"messages": [{"content": "x"}]}, MISSING, "messages[0].role"),
    (CHAT, {"messages": [{"role": 5, "content": "x"}]}, TYPE, "messages[0].role"),
    (CHAT, {"messages": [{"role": "root", "content": "x"}]}, VALUE, "messages[0].role"),
    (CHAT, {"messages": [{"role": "user"}]}, MISSING, "messages[0].content"),
    (CHAT, {"messages": [{"role": "user", "content": None}]}, TYPE, "messages[0].content"),
    (CHAT, {"messages": [{"role": "user", "content": 5}]}, TYPE, "messages[0].content"),
    (CHAT, {"messages": user("x")}, TYPE, "messages[0].content[0]"),
    (CHAT, {"messages": user({"text": "x"})}, MISSING, "messages[0].content[0].type"),
    (CHAT, {"messages": user({"type": "text"})}, MISSING, "messages[0].content[0].text"),
    (CHAT, {"messages": user({"type": "text", "text": 5})}, TYPE, "messages[0].content[0].text"),
    (CHAT, {"messages": user({"type": "image_embeds"})}, VALUE, "messages[0].content[0].type"),
    (CHAT, {"messages": user({"type": ["text"]})}, VALUE, "messages[0].content[0].type"),
    (CHAT, {"messages": user({"type": "file", "file": {}})}, UNSUPPORTED, "messages[0].content[0].file"),
    (CHAT, {"messages": [{"role": "tool", "content": "x"}]}, MISSING, "messages[0].tool_call_id"),
    (CHAT, {"messages": [{"role": "assistant", "tool_calls": "x"}]}, TYPE, "messages[0].tool_calls"),
    (
        CHAT,
        {"messages": [{"role": "assistant", "content": None, "tool_calls": [{}]}]},
        MISSING,
        "messages[0].tool_calls[0].function",
    ),
    (CHAT, {"temperature": "1"}, TYPE, "temperature"),
    (CHAT, {"temperature": True}, TYPE, "temperature"),
    (CHAT, {"temperature": 3}, VALUE, "temperature"),
    (CHAT, {"top_p": 2}, VALUE, "top_p"),
    (CHAT, {"stream": "false"}, TYPE, "stream"),
    (CHAT, {"n": True}, TYPE, "n"),
    (CHAT, {"n": 0}, VALUE, "n"),
    (CHAT, {"n": 10_000}, VALUE, "n"),
    (CHAT, {"max_tokens": 1.5}, TYPE, "max_tokens"),
    (CHAT, {"max_tokens": -1}, VALUE, "max_tokens"),
    (CHAT, {"max_completion_tokens": 2**63}, VALUE, "max_completion_tokens"),
    (CHAT, {"logprobs": 1000}, TYPE, "logprobs"),
    (CHAT, {"logprobs": True, "top_logprobs": 1000}, VALUE, "top_logprobs"),
    (CHAT, {"top_logprobs": 1}, VALUE, "top_logprobs"),
    (CHAT, {"stop": ["a"] * 5}, VALUE, "stop"),
    (CHAT, {"stop": ["a", 5]}, TYPE, "stop[1]"),
    (CHAT, {"logit_bias": {"5": 101}}, VALUE, "logit_bias.5"),
    (CHAT, {"stream_options": {"include_usage": True}}, VALUE, "stream_options"),
    (CHAT, {"stream": True, "stream_options": {"include_usage": 1}}, TYPE, "stream_options.include_usage"),
    (CHAT, {"metadata": {str(n): "x" for n in range(17)}}, VALUE, "metadata"),
    (CHAT, {"metadata": {"a": "x" * 513}}, VALUE, "metadata.a"),
    (CHAT, {"user": "x" * 1_000_000}, VALUE, "user"),
    (CHAT, {"tools": [{"type": "function"}]}, MISSING, "tools[0].function"),
    (CHAT, {"tools": [{"type": "function", "function": {}}]}, MISSING, "tools[0].function.name"),
    (CHAT, {"tools": [{"type": "magic"}]}, VALUE, "tools[0].type"),
    (CHAT, {"tool_choice": "required"}, VALUE, "tool_choice"),
    (CHAT, {"tools": [TOOL], "tool_choice": "often"}, VALUE, "tool_choice"),
    (CHAT, {"response_format": {"type": "xml"}}, VALUE, "response_format.type"),
    (CHAT, {"response_format": {"type": "json_schema"}}, MISSING, "response_format.json_schema"),
    (CHAT, {"modalities": ["text", "audio"]}, UNSUPPORTED, "modalities"),
    (CHAT, {"metadata": {"api_base": "http://x"}}, UNSUPPORTED, "metadata.api_base"),
    (CHAT, {"tools": [{**TOOL, "api_base": "http://x"}]}, UNSUPPORTED, "tools[0].api_base"),
    (
        CHAT,
        {"tools": [{"type": "function", "function": {"name": "f", "headers": {}}}]},
        UNSUPPORTED,
        "tools[0].function.headers",
    ),
    (COMPLETION, {"prompt": ...}, MISSING, "prompt"),
    (COMPLETION, {"prompt": []}, VALUE, "prompt"),
    (COMPLETION, {"prompt": ["a", 5]}, TYPE, "prompt[1]"),
    (COMPLETION, {"prompt": [5, "a"]}, TYPE, "prompt[1]"),
    (COMPLETION, {"prompt": [-1]}, VALUE, "prompt[0]"),
    (COMPLETION, {"logprobs": 1000}, VALUE, "logprobs"),
    (COMPLETION, {"best_of": 1000}, VALUE, "best_of"),
    (COMPLETION, {"prompt": ["a"] * 100, "n": 2}, VALUE, "n"),
    (EMBEDDING, {"input": ...}, MISSING, "input"),
    (EMBEDDING, {"input": ""}, VALUE, "input"),
    (EMBEDDING, {"input": ["a"] * 2049}, VALUE, "input"),
    (EMBEDDING, {"input": {"a": 1}}, TYPE, "input"),
    (EMBEDDING, {"encoding_format": "hex"}, VALUE, "encoding_format"),
    (EMBEDDING, {"dimensions": 0}, VALUE, "dimensions"),
    (EMBEDDING, {"stream": True}, UNSUPPORTED, "stream"),
]


@pytest.mark.parametrize(
    ("operation", "fields", "code", "param"), BAD, ids=[f"{row[3]}-{n}" for n, row in enumerate(BAD)]
)
def test_refused(operation: int, fields: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(MeshError) as caught:
        parsed(operation, **fields)
    error = caught.value
    assert error.metadata["param"] == param
    if code == UNSUPPORTED:
        assert error.reason is Reason.UNSUPPORTED_PARAMETER
    else:
        assert (error.reason, error.metadata["code"]) == (Reason.INVALID_REQUEST, code)
    assert len(error.message) < 400


@pytest.mark.parametrize("name", [*ROUTING, *TEMPLATE])
@pytest.mark.parametrize("operation", GOOD)
def test_routing_credential_and_template_parameters_are_refused(operation: int, name: str) -> None:
    with pytest.raises(MeshError) as caught:
        parsed(operation, **{name: None})
    assert caught.value.reason is Reason.UNSUPPORTED_PARAMETER
    assert caught.value.metadata == {"param": name}


NEEDS: list[tuple[int, dict[str, Any], set[int]]] = [
    (CHAT, {}, set()),
    (CHAT, {"tools": []}, set()),
    (CHAT, {"tools": [TOOL]}, {model_pb2.CAPABILITY_TOOLS}),
    (CHAT, {"tools": [TOOL], "tool_choice": "auto"}, {model_pb2.CAPABILITY_TOOLS}),
    (
        CHAT,
        {"tools": [TOOL], "tool_choice": "required"},
        {model_pb2.CAPABILITY_TOOLS, model_pb2.CAPABILITY_TOOL_CHOICE},
    ),
    (
        CHAT,
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {model_pb2.CAPABILITY_TOOLS, model_pb2.CAPABILITY_TOOL_CHOICE},
    ),
    (CHAT, {"functions": [{"name": "f"}]}, {model_pb2.CAPABILITY_TOOLS}),
    (CHAT, {"response_format": {"type": "text"}}, set()),
    (CHAT, {"response_format": {"type": "json_object"}}, {model_pb2.CAPABILITY_JSON}),
    (
        CHAT,
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "a", "schema": {"type": "object"}},
            }
        },
        {model_pb2.CAPABILITY_JSON},
    ),
    (CHAT, {"logprobs": True, "top_logprobs": 3}, {model_pb2.CAPABILITY_LOGPROBS}),
    (CHAT, {"n": 2}, {model_pb2.CAPABILITY_CHOICES}),
    (CHAT, {"messages": user({"type": "text", "text": "x"}, image(png()))}, {model_pb2.CAPABILITY_VISION}),
    (
        CHAT,
        {"messages": user({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}})},
        {model_pb2.CAPABILITY_AUDIO},
    ),
    (COMPLETION, {"prompt": [1, 2]}, {model_pb2.CAPABILITY_TOKEN_INPUT}),
    (COMPLETION, {"prompt": ["a", "b"]}, {model_pb2.CAPABILITY_CHOICES}),
    (COMPLETION, {"logprobs": 0}, {model_pb2.CAPABILITY_LOGPROBS}),
    (COMPLETION, {"logprobs": None, "best_of": None}, set()),
    (EMBEDDING, {"input": [[1, 2], [3]]}, {model_pb2.CAPABILITY_TOKEN_INPUT}),
    (EMBEDDING, {"input": ["a", "b"]}, set()),
]


@pytest.mark.parametrize(("operation", "fields", "needs"), NEEDS)
def test_needs(operation: int, fields: dict[str, Any], needs: set[int]) -> None:
    assert parsed(operation, **fields).needs == needs


@pytest.mark.parametrize(
    ("operation", "fields", "answers"),
    [
        (CHAT, {}, 1),
        (CHAT, {"n": 3}, 3),
        (COMPLETION, {"prompt": ["a", "b"], "n": 2}, 4),
        (COMPLETION, {"prompt": [1, 2]}, 1),
        (EMBEDDING, {"input": ["a", "b", "c"]}, 3),
        (EMBEDDING, {"input": [1, 2]}, 1),
    ],
)
def test_answers_expected(operation: int, fields: dict[str, Any], answers: int) -> None:
    assert parsed(operation, **fields).answers == answers


def test_unknown_parameters_travel_on() -> None:
    extra = {"top_k": 40, "min_p": 0.1, "keep_alive": "5m", "options": {"num_ctx": 4096}, "x_y": None}
    assert parsed(CHAT, **extra).body == {**GOOD[CHAT], **extra}


def test_nulls_of_known_parameters_mean_the_default() -> None:
    request = parsed(
        CHAT, stream=None, stop=None, tools=None, response_format=None, n=None, stream_options=None
    )
    assert request.body == GOOD[CHAT]
    assert not request.stream


def test_history_with_tool_calls_and_without_content_is_normal() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "not json"}}
    messages = [
        {"role": "system", "content": [{"type": "text", "text": "x"}]},
        {"role": "developer", "content": ""},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "\0 is data"}]},
        {"role": "assistant", "tool_calls": [call]},
    ]
    assert parsed(CHAT, messages=messages).body["messages"] == messages


def test_streaming_and_usage_are_read() -> None:
    request = parsed(CHAT, stream=True, stream_options={"include_usage": True})
    assert (request.stream, request.include_usage) == (True, True)


@pytest.mark.parametrize(("wanted", "base64_wanted"), [("base64", True), ("float", False), (..., False)])
def test_the_mesh_always_carries_numbers(wanted: Any, base64_wanted: bool) -> None:
    request = parsed(EMBEDDING, encoding_format=wanted, dimensions=64)
    assert request.base64 is base64_wanted
    assert request.body == {**GOOD[EMBEDDING], "encoding_format": "float", "dimensions": 64}


URLS = [
    "http://169.254.169.254/",
    "http://127.0.0.1:2379/v2/keys",
    "file:///etc/passwd",
    "gopher://x",
    "ftp://x",
    "http://[::ffff:127.0.0.1]",
    "https://example.com/a.png",
    "HTTP://x",
    "",
    "//x",
    "blob:x",
]


@pytest.mark.parametrize("url", URLS)
def test_images_are_never_fetched(url: str) -> None:
    with pytest.raises(MeshError) as caught:
        parsed(CHAT, messages=user(image(url)))
    assert caught.value.metadata == {
        "code": "invalid_image_url",
        "param": "messages[0].content[0].image_url.url",
    }


IMAGES = {
    "not base64": "data:image/png;base64,@@@@",
    "bad padding": "data:image/png;base64,iVBORw0KGgo",
    "no encoding": "data:image/png,abc",
    "no data": "data:image/png;base64",
    "wrong magic": "data:image/png;base64," + base64.b64encode(b"GIF89a" + b"\0" * 30).decode(),
    "svg": "data:image/svg+xml;base64," + base64.b64encode(b"<svg/>").decode(),
    "50000 x 50000": png(50_000, 50_000),
}


@pytest.mark.parametrize("name", IMAGES)
def test_images_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(MeshError) as caught:
        parsed(CHAT, messages=user(image(IMAGES[name])))
    assert caught.value.metadata["code"] == "invalid_image"


SCHEMAS: list[Any] = [
    {"type": 5},
    {"type": "text"},
    {"type": "string", "pattern": "(a+)+b"},
    {"type": "string", "pattern": "("},
    {"type": "string", "pattern": 5},
    {"type": "object", "properties": {"a": {"items": {"type": "nothing"}}}},
    {"anyOf": [5]},
    {"patternProperties": {"(a*)*": {}}},
    {"properties": {str(n): {"pattern": "a"} for n in range(100)}},
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_schemas_a_backend_could_choke_on_are_refused(schema: Any) -> None:
    with pytest.raises(MeshError) as caught:
        parsed(CHAT, response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}})
    assert caught.value.metadata["code"] in ("invalid_schema", "invalid_type")
    with pytest.raises(MeshError):
        parsed(CHAT, tools=[{"type": "function", "function": {"name": "f", "parameters": schema}}])


def test_an_ordinary_schema_may_name_its_properties_as_it_likes() -> None:
    schema = {
        "type": "object",
        "properties": {
            "headers": {"type": ["object", "null"], "additionalProperties": {"type": "string"}},
            "api_key": {"$ref": "#/$defs/key"},
            "slug": {"type": "string", "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$", "enum": ["a"]},
        },
        "$defs": {"key": {"type": "string"}},
        "additionalProperties": False,
    }
    parsed(
        CHAT, tools=[{"type": "function", "function": {"name": "f", "parameters": schema, "strict": True}}]
    )


@pytest.mark.parametrize(
    ("pattern", "risky"),
    [
        ("(a+)+b", True),
        ("(?:a+)*", True),
        ("(a*b*)*", True),
        ("(a{2,3})+", True),
        ("((a+))*", True),
        ("a)", True),
        ("^[a-z]+$", False),
        (r"^(\d{3}-)?\d+$", False),
        ("(a|b)*", False),
        (r"\((a+)\)+", False),
        ("[(+]+", False),
        (r"^\p{L}+$", False),
        ("(?<year>[0-9]{4})-[0-9]{2}", False),
        ("", False),
    ],
)
def test_patterns(pattern: str, risky: bool) -> None:
    assert is_risky(pattern) is risky
