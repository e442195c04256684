"""What a request body may say: refusals name the parameter by its path, needs are read off, the rest travels on."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from nexus.types.v1 import model_pb2
from nexus_gateway.access import ANONYMOUS
from nexus_gateway.core.request import InferenceRequest
from nexus_gateway.validation.params import ROUTING, TEMPLATE
from nexus_gateway.validation.parse import parse_request
from nexus_mesh.core.errors import MeshError, Reason

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
    return parse_request(operation, json.dumps(body).encode(), request_id="req_1", principal=ANONYMOUS)


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
    (CHAT, {"temperature": -1}, VALUE, "temperature"),
    (CHAT, {"top_p": 2}, VALUE, "top_p"),
    (CHAT, {"stream": "false"}, TYPE, "stream"),
    (CHAT, {"n": True}, TYPE, "n"),
    (CHAT, {"n": 0}, VALUE, "n"),
    (CHAT, {"n": 10_000}, VALUE, "n"),
    (CHAT, {"max_tokens": 1.5}, TYPE, "max_tokens"),
    (CHAT, {"max_tokens": 0}, VALUE, "max_tokens"),
    (CHAT, {"max_tokens": -2}, VALUE, "max_tokens"),
    (COMPLETION, {"max_tokens": 0}, VALUE, "max_tokens"),
    (CHAT, {"max_completion_tokens": 2**63}, VALUE, "max_completion_tokens"),
    (CHAT, {"logprobs": 1000}, TYPE, "logprobs"),
    (CHAT, {"logprobs": True, "top_logprobs": 100_000}, VALUE, "top_logprobs"),
    (CHAT, {"top_logprobs": 1}, VALUE, "top_logprobs"),
    (CHAT, {"stop": ["a"] * 1001}, VALUE, "stop"),
    (CHAT, {"stop": ["a", 5]}, TYPE, "stop[1]"),
    (CHAT, {"logit_bias": {"5": 1e9}}, VALUE, "logit_bias.5"),
    (CHAT, {"logit_bias": {"5": "1"}}, TYPE, "logit_bias.5"),
    (CHAT, {"stream_options": {"include_usage": True}}, VALUE, "stream_options"),
    (CHAT, {"stream": True, "stream_options": {"include_usage": 1}}, TYPE, "stream_options.include_usage"),
    (CHAT, {"metadata": {str(n): "x" for n in range(65)}}, VALUE, "metadata"),
    (CHAT, {"metadata": {"a": "x" * 4097}}, VALUE, "metadata.a"),
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
    (COMPLETION, {"logprobs": 100_000}, VALUE, "logprobs"),
    (COMPLETION, {"best_of": 1000}, VALUE, "best_of"),
    (COMPLETION, {"prompt": ["a"] * 100, "n": 2}, VALUE, "n"),
    (EMBEDDING, {"input": [[1] * 1500] * 200 + [[1]]}, VALUE, "input"),
    (CHAT, {"chat_template_kwargs": "x"}, TYPE, "chat_template_kwargs"),
    (CHAT, {"chat_template_kwargs": {"x": {}}}, TYPE, "chat_template_kwargs.x"),
    (CHAT, {"chat_template_kwargs": {"x": ["a"]}}, TYPE, "chat_template_kwargs.x"),
    (CHAT, {"chat_template_kwargs": {"x": "y" * 1025}}, VALUE, "chat_template_kwargs.x"),
    (CHAT, {"chat_template_kwargs": {"a b": 1}}, VALUE, "chat_template_kwargs"),
    (CHAT, {"chat_template_kwargs": {f"x{n}": 1 for n in range(33)}}, VALUE, "chat_template_kwargs"),
    *(
        (CHAT, {"chat_template_kwargs": {name: True}}, UNSUPPORTED, f"chat_template_kwargs.{name}")
        for name in (
            "chat_template",
            "tokenize",
            "add_generation_prompt",
            "messages",
            "tools",
            "return_tensors",
        )
    ),
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
    (CHAT, {"tools": [TOOL], "tool_choice": "none"}, set()),
    (CHAT, {"functions": [{"name": "f"}], "function_call": "none"}, set()),
    (CHAT, {"logprobs": False, "top_logprobs": 0}, set()),
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


OPENAI_ALONE: list[tuple[int, dict[str, Any]]] = [
    (CHAT, {"stop": [str(n) for n in range(9)]}),
    (CHAT, {"temperature": 3}),
    (CHAT, {"logprobs": True, "top_logprobs": 50}),
    (CHAT, {"logit_bias": {str(n): -100 for n in range(1500)}}),
    (CHAT, {"logit_bias": {"5": 200}}),
    (CHAT, {"frequency_penalty": 5, "presence_penalty": -5}),
    (CHAT, {"metadata": {str(n): "x" * 600 for n in range(20)}}),
    (CHAT, {"reasoning_effort": "ultra"}),
    (CHAT, {"service_tier": "batch"}),
    (CHAT, {"safety_identifier": "x" * 65}),
    (COMPLETION, {"logprobs": 10}),
    (COMPLETION, {"max_tokens": 0, "echo": True, "logprobs": 1}),
    (COMPLETION, {"max_tokens": -1}),
]


@pytest.mark.parametrize(("operation", "fields"), OPENAI_ALONE)
def test_limits_that_only_openai_has_are_left_to_whoever_has_them(
    operation: int, fields: dict[str, Any]
) -> None:
    """D2: engines take these; the adapter that speaks to OpenAI itself hears OpenAI's own refusal."""
    assert parsed(operation, **fields).body == {**GOOD[operation], **fields}


@pytest.mark.parametrize(
    "nothing",
    [
        {"stop": []},
        {"max_tokens": -1},
        {"max_completion_tokens": -1},
        {"top_logprobs": 0},
        {"logit_bias": {}},
    ],
)
def test_what_asks_for_nothing_is_no_parameter(nothing: dict[str, Any]) -> None:
    """D2: an empty list of stops is none, and -1 token is no limit."""
    assert parsed(CHAT, **nothing).body == GOOD[CHAT]


@pytest.mark.parametrize(
    "asked",
    [
        {"tools": [TOOL], "tool_choice": "none", "parallel_tool_calls": False},
        {"functions": [{"name": "f"}], "function_call": "none"},
    ],
)
def test_tools_nobody_may_call_do_not_travel(asked: dict[str, Any]) -> None:
    """D11: a model without tools answers such a request as any other."""
    assert parsed(CHAT, **asked).body == GOOD[CHAT]


@pytest.mark.parametrize(
    ("operation", "fields", "capability", "param"),
    [
        (COMPLETION, {"prompt": ["a", "b"]}, model_pb2.CAPABILITY_CHOICES, "prompt"),
        (COMPLETION, {"n": 2}, model_pb2.CAPABILITY_CHOICES, "n"),
        (COMPLETION, {"best_of": 2}, model_pb2.CAPABILITY_CHOICES, "best_of"),
        (COMPLETION, {"prompt": [1, 2]}, model_pb2.CAPABILITY_TOKEN_INPUT, "prompt"),
        (EMBEDDING, {"input": [1, 2]}, model_pb2.CAPABILITY_TOKEN_INPUT, "input"),
        (CHAT, {"functions": [{"name": "f"}]}, model_pb2.CAPABILITY_TOOLS, "functions"),
        (
            CHAT,
            {"functions": [{"name": "f"}], "function_call": {"name": "f"}},
            model_pb2.CAPABILITY_TOOL_CHOICE,
            "function_call",
        ),
        (CHAT, {"tools": [TOOL]}, model_pb2.CAPABILITY_TOOLS, "tools"),
    ],
)
def test_each_need_knows_the_parameter_that_was_sent(
    operation: int, fields: dict[str, Any], capability: int, param: str
) -> None:
    """D13: a refusal names what the client sent."""
    assert parsed(operation, **fields).asked[capability] == param


def test_variables_of_the_template_travel_on() -> None:
    """D5: it is how thinking is switched off."""
    extra = {
        "chat_template_kwargs": {"enable_thinking": False, "thinking_budget": 5, "style": "x", "y": None}
    }
    assert parsed(CHAT, **extra).body == {**GOOD[CHAT], **extra}


@pytest.mark.parametrize("inputs", [[[5] * 300] * 200, [[100_000] * 1500] * 200, [[7]] * 2048, [3] * 50_000])
def test_as_many_token_ids_as_openai_takes(inputs: list[Any]) -> None:
    """D4: 300,000 in 2,048 inputs."""
    assert parsed(EMBEDDING, input=inputs).answers == (len(inputs) if isinstance(inputs[0], list) else 1)


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


PIXEL = png()
RAW = base64.b64decode(PIXEL.partition(",")[2])
GIF = base64.b64encode(b"GIF89a\1\0\1\0" + b"\xfb\xff" * 15).decode()

REPAIRED = {
    "another label": (PIXEL.replace("image/png", "image/jpeg"), PIXEL),
    "no label": (PIXEL.replace("image/png", ""), PIXEL),
    "octets": (PIXEL.replace("image/png", "application/octet-stream"), PIXEL),
    "a GIF for a PNG": (f"data:image/png;base64,{GIF}", f"data:image/gif;base64,{GIF}"),
    "image/jpg": (
        "data:image/jpg;base64,/9j/4AAQSkZJRgAB",
        "data:image/jpeg;base64,/9j/4AAQSkZJRgAB",
    ),
    "capitals": (PIXEL.replace("data:image/png;base64", "DATA:Image/PNG;Base64"), PIXEL),
    "a parameter": (PIXEL.replace("image/png", "image/png;name=a.png"), PIXEL),
    "line ends": ("\r\n".join((PIXEL[:40], PIXEL[40:])) + "\n", PIXEL),
    "blanks": (PIXEL[:40] + " \t" + PIXEL[40:], PIXEL),
    "no padding": (PIXEL.rstrip("="), PIXEL),
    "letters of URLs": (
        "data:image/gif;base64," + GIF.replace("+", "-").replace("/", "_"),
        f"data:image/gif;base64,{GIF}",
    ),
    "escaped": (
        PIXEL.replace("+", "%2B").replace("/", "%2F").replace("data:image%2Fpng", "data:image/png"),
        PIXEL,
    ),
}


@pytest.mark.parametrize("name", REPAIRED)
def test_images_are_relabelled_and_cleaned(name: str) -> None:
    """D6: what can be read is never refused for its label or its line ends."""
    sent, travels = REPAIRED[name]
    body = parsed(CHAT, messages=user(image(sent))).body
    assert body["messages"][0]["content"][0]["image_url"]["url"] == travels


def test_an_image_may_stand_by_itself() -> None:
    """D6: as a text instead of an object with one key."""
    body = parsed(CHAT, messages=user({"type": "image_url", "image_url": PIXEL})).body
    assert body["messages"][0]["content"][0]["image_url"] == {"url": PIXEL}


SMUGGLED: list[dict[str, Any]] = [
    {"type": "text", "text": "a", "image_url": {"url": "http://169.254.169.254/latest"}},
    {"type": "text", "text": "a", "video_url": {"url": "file:///etc/passwd"}, "uuid": "of another"},
    {
        "type": "image_url",
        "image_url": {"url": PIXEL, "uri": "http://169.254.169.254/"},
        "uuid": "of another",
    },
    {
        "type": "input_audio",
        "input_audio": {"data": "AAAA", "format": "wav", "url": "http://169.254.169.254/"},
    },
]


@pytest.mark.security
@pytest.mark.parametrize("part", SMUGGLED)
def test_nothing_travels_beside_what_was_looked_at(part: dict[str, Any]) -> None:
    """A12: a part's further keys went to the engine as they stood: addresses to fetch, names of others' images."""
    (sent,) = parsed(CHAT, messages=user(json.loads(json.dumps(part)))).body["messages"][0]["content"]
    assert sent.keys() == {"type", part["type"]}
    assert "169.254" not in json.dumps(sent)


IMAGES = {
    "not base64": "data:image/png;base64,@@@@",
    "too short": "data:image/png;base64,iVBORw0KG",
    "no encoding": "data:image/png,abc",
    "no data": "data:image/png;base64",
    "no image": "data:image/png;base64," + base64.b64encode(b"MZ" + b"\0" * 30).decode(),
    "a sound": "data:image/webp;base64," + base64.b64encode(b"RIFF\0\0\0\0WAVEfmt ").decode(),
    "svg": "data:image/svg+xml;base64," + base64.b64encode(b"<svg/>").decode(),
    "50000 x 50000": png(50_000, 50_000),
    "50000 x 50000 by another name": png(50_000, 50_000).replace("image/png", "image/jpeg"),
}


@pytest.mark.security
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
    {"type": "string", "pattern": "(?:(?:a{100}){100}){100}"},
    {"anyOf": [{"pattern": "a"} for n in range(1001)]},
    {"properties": {str(n): {"pattern": "a{60000}"} for n in range(20)}},
    {"items": [{"pattern": "(a+)+"}]},
    {"unevaluatedProperties": {"pattern": "(a+)+"}},
    {"$ref": "http://169.254.169.254/latest/meta-data"},
    {"properties": {"a": {"$ref": "file:///etc/passwd"}}},
    {"$id": "http://169.254.169.254/", "items": [{"$dynamicRef": "latest"}]},
]


@pytest.mark.security
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


LEGIT = [
    "^[a-z]+$",
    r"^(\d{3}-)?\d+$",
    "(a|b)*",
    r"\((a+)\)+",
    "[(+]+",
    r"^\p{L}+$",
    "(?<year>[0-9]{4})-[0-9]{2}",
    "",
    r"^(\w+\s?)*$",
    "(a*b*)*",
    "^(?:[0-9A-F]{2}){6}$",
    "(a{2,3})+",
    "(a+){3}",
    "^$|^(?:[0-9a-zA-Z+/]{4})*(?:(?:[0-9a-zA-Z+/]{2}==)|(?:[0-9a-zA-Z+/]{3}=))?$",
    r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$",
    r"^P(?:(\d+W)|(?!.*W)(?=\d|T\d)(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+([.,]\d+)?S)?)?)$",
    r"^(\p{Extended_Pictographic}|\p{Emoji_Component})+$",
    r"^[\s\S]{0,65535}$",
    "^[^](a[b])$",
    "|".join(["(([0-9a-fA-F]{1,4}:){1,7}:)"] * 40),
]
CERTAIN = ["(a+)+b", "(?:a+)*", "((a+))*", "(a*)*", "([a-z]+)+$", "a)", "(a", "(?:(?:a{999}){999})"]


@pytest.mark.parametrize("pattern", LEGIT)
def test_patterns_people_write_travel_on(pattern: str) -> None:
    """D3: the engine's answer counts; a guard that may be wrong must not cost the whole chat."""
    parsed(CHAT, tools=[{"type": "function", "function": {"name": "f", "parameters": {"pattern": pattern}}}])


@pytest.mark.parametrize("name", ["items", "additionalProperties", "properties", "anyOf"])
def test_a_keyword_without_a_value_says_nothing(name: str) -> None:
    """D3: as some generators of schemas write it."""
    parameters = {"type": "object", name: None}
    parsed(CHAT, tools=[{"type": "function", "function": {"name": "f", "parameters": parameters}}])


def test_a_schema_beside_the_word_is_looked_at_too() -> None:
    with pytest.raises(MeshError) as caught:
        parsed(CHAT, response_format={"type": "json_object", "schema": {"pattern": "(a+)+"}})
    assert caught.value.metadata["param"] == "response_format.schema.pattern"


def test_ids_of_tool_calls_may_be_long() -> None:
    parsed(CHAT, messages=[{"role": "tool", "tool_call_id": "x" * 5000, "content": "y"}])


@pytest.mark.parametrize("pattern", CERTAIN)
def test_patterns_nobody_needs_are_refused_by_their_path(pattern: str) -> None:
    parameters = {"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}}
    with pytest.raises(MeshError) as caught:
        parsed(CHAT, tools=[{"type": "function", "function": {"name": "f", "parameters": parameters}}])
    assert caught.value.metadata == {
        "code": "invalid_schema",
        "param": "tools[0].function.parameters.properties.a.pattern",
    }
