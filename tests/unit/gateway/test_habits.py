"""How well-meaning clients spell a chat: each spelling arrives as OpenAI's own, and nothing of it is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from nexus.types.v1 import model_pb2
from nexus_gateway.access import ANONYMOUS
from nexus_gateway.validation.parse import parse_request
from nexus_mesh.core.errors import MeshError

USER = {"role": "user", "content": "hi"}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
FUNCTION = {"name": "f", "parameters": PARAMETERS}
TOOL = {"type": "function", "function": FUNCTION}
OTHER = {"type": "function", "function": {"name": "g"}}
NAMED = {"type": "function", "function": {"name": "f"}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"


def parsed(**fields: Any) -> dict[str, Any]:
    body = json.dumps({"model": "m", "messages": [USER], **fields}).encode()
    operation = model_pb2.OPERATION_CHAT
    return parse_request(operation, body, request_id="req_1", principal=ANONYMOUS).body


def schema_format(schema: Any, **more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, **more}}


PARAMETER_SPELLINGS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"max_tokens": 16.0, "seed": 42.0, "top_k": 40.0}, {"max_tokens": 16, "seed": 42, "top_k": 40}),
    ({"stop": ""}, {}),
    ({"stop": [""]}, {}),
    ({"stop": ["", "x"]}, {"stop": ["x"]}),
    ({"tools": [{"function": FUNCTION}]}, {"tools": [TOOL]}),
    ({"tools": [{"type": "function", **FUNCTION}]}, {"tools": [TOOL]}),
    ({"tools": [{"name": "f", "input_schema": PARAMETERS}]}, {"tools": [TOOL]}),
    (
        {"tools": [{"type": "function", "function": {**FUNCTION, "description": None, "strict": None}}]},
        {"tools": [TOOL]},
    ),
    ({"tools": [TOOL], "tool_choice": "any"}, {"tools": [TOOL], "tool_choice": "required"}),
    ({"tools": [TOOL], "tool_choice": {"type": "auto"}}, {"tools": [TOOL], "tool_choice": "auto"}),
    ({"tools": [TOOL], "tool_choice": {"type": "any"}}, {"tools": [TOOL], "tool_choice": "required"}),
    ({"tools": [TOOL], "tool_choice": {"type": "none"}}, {}),
    (
        {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "f"}},
        {"tools": [TOOL], "tool_choice": NAMED},
    ),
    (
        {"tools": [TOOL], "tool_choice": {"type": "function", "name": "f"}},
        {"tools": [TOOL], "tool_choice": NAMED},
    ),
    (
        {"tools": [TOOL], "tool_choice": {"function": {"name": "f"}}},
        {"tools": [TOOL], "tool_choice": NAMED},
    ),
    (
        {
            "tools": [OTHER, TOOL],
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED]}},
        },
        {"tools": [TOOL], "tool_choice": "auto"},
    ),
    ({"response_format": {}}, {}),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
        {"response_format": schema_format(SCHEMA)},
    ),
    (
        {"response_format": {"type": "json_schema", "schema": SCHEMA}},
        {"response_format": schema_format(SCHEMA)},
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": SCHEMA}},
        {"response_format": schema_format(SCHEMA)},
    ),
    (
        {"response_format": schema_format(SCHEMA, strict=None, description=None)},
        {"response_format": schema_format(SCHEMA)},
    ),
]


@pytest.mark.parametrize(("sent", "meant"), PARAMETER_SPELLINGS, ids=lambda each: json.dumps(each)[:60])
def test_another_spelling_of_a_parameter(sent: dict[str, Any], meant: dict[str, Any]) -> None:
    """D: LangChain, LiteLLM, the AI SDK, Anthropic's and the Responses API's clients say the same in other words."""
    assert parsed(**sent) == {"model": "m", "messages": [USER], **meant}


def call(arguments: Any = "{}", **more: Any) -> dict[str, Any]:
    return {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}, **more}


def called(*calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **more}


RESULT = {"role": "tool", "tool_call_id": "c1", "content": "x"}
MESSAGE_SPELLINGS: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]] = [
    ([{**USER, "name": None, "tool_calls": None, "tool_call_id": None}], [USER]),
    (
        [USER, called(call(), refusal=None, audio=None, function_call=None, annotations=[]), RESULT],
        [USER, called(call(), annotations=[]), RESULT],
    ),
    ([called(call({"city": "x"})), RESULT], [called(call('{"city":"x"}')), RESULT]),
    ([called(call(None)), RESULT], [called(call("{}")), RESULT]),
    ([called(call()), {**RESULT, "content": None}], [called(call()), {**RESULT, "content": ""}]),
    (
        [called(call(id="")), {**RESULT, "tool_call_id": ""}],
        [called(call(id="call_0_0")), {**RESULT, "tool_call_id": "call_0_0"}],
    ),
    (
        [
            called(call(), {**call(id="c2"), "function": {"name": "g", "arguments": "{}"}}),
            {"role": "tool", "name": "g", "content": "y"},
            {"role": "tool", "content": "x"},
        ],
        [
            called(call(), {**call(id="c2"), "function": {"name": "g", "arguments": "{}"}}),
            {"role": "tool", "name": "g", "content": "y", "tool_call_id": "c2"},
            RESULT,
        ],
    ),
    (
        [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}],
        [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
    ),
    (
        [{"role": "assistant", "content": [{"type": "output_text", "text": "a", "annotations": []}]}],
        [{"role": "assistant", "content": [{"type": "text", "text": "a"}]}],
    ),
    (
        [{"role": "user", "content": [{"type": "input_image", "image_url": PIXEL, "detail": "low"}]}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}]}],
    ),
    (
        [
            {
                "role": "user",
                "content": [
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": PIXEL.split(",")[1]},
                    }
                ],
            }
        ],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PIXEL}}]}],
    ),
    (
        [
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "text", "text": "a"},
                ],
            }
        ],
        [{"role": "assistant", "content": [{"type": "text", "text": "a"}], "reasoning_content": "hm"}],
    ),
]


@pytest.mark.parametrize(("sent", "meant"), MESSAGE_SPELLINGS, ids=lambda each: json.dumps(each)[:60])
def test_another_spelling_of_a_message(sent: list[dict[str, Any]], meant: list[dict[str, Any]]) -> None:
    """D: a chat is not lost for how its history was kept; llama.cpp falls over a null name."""
    assert parsed(messages=sent)["messages"] == meant


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ({"type": "STRING"}, {"type": "string"}),
        ({"type": "float"}, {"type": "number"}),
        ({"type": ["dict", "null"]}, {"type": ["object", "null"]}),
        ({"type": "any"}, {}),
    ],
    ids=str,
)
def test_types_by_the_names_of_a_language(sent: dict[str, Any], meant: dict[str, Any]) -> None:
    """D3: a guard refuses nothing that can be said in the one vocabulary every engine has."""

    def tool(of: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "function",
            "function": {"name": "f", "parameters": {"properties": {"x": of, "type": {"type": "string"}}}},
        }

    assert parsed(tools=[tool(sent)])["tools"] == [tool(meant)]


ODD: list[dict[str, Any]] = [
    {"tools": 5},
    {"tools": [5]},
    {"tools": [{"name": 5}]},
    {"tools": [{"function": 5}]},
    {"tools": [TOOL], "tool_choice": {}},
    {"tools": [TOOL], "tool_choice": {"type": []}},
    {"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "allowed_tools": 5}},
    {"tools": [TOOL], "tool_choice": 5},
    {"response_format": {"type": "json_schema", "json_schema": 5}},
    {"response_format": {"type": "json_schema", "schema": 5}},
    {"stop": [5, ""]},
    {"messages": [{"role": "tool"}]},
    {"messages": [{"role": "user", "content": [{"type": []}]}]},
    {"messages": [{"role": "user", "content": [{"type": "input_image"}]}]},
    {"messages": [{"role": "user", "content": [{"type": "image", "source": 5}]}]},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": 5}]}]},
    {"messages": [called(call(5))]},
    {"messages": [called({"function": 5})]},
    {"max_tokens": 1.5},
    {"max_tokens": 1e300},
]


@pytest.mark.parametrize("sent", ODD, ids=lambda each: json.dumps(each)[:60])
def test_what_is_no_spelling_of_anything_is_refused_by_name(sent: dict[str, Any]) -> None:
    with pytest.raises(MeshError) as caught:
        parsed(**sent)
    assert caught.value.metadata["param"]
