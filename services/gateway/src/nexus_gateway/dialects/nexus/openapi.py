"""GET /openapi.json: the edge as OpenAPI 3.1, made of the route table, the types, and headers and errors."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
from nexus_mesh.core import JsonObject

from nexus_gateway.dialects.dialect import reading
from nexus_gateway.dialects.errors import ErrorEnvelope
from nexus_gateway.http import ALWAYS, CODES, EDGE, ON_FAILURE, REASONS, Answer, Call, Content, Exchange, Row
from nexus_gateway.validation import engine_shape

__all__ = ["OPENAPI", "document", "openapi_row"]

OPENAPI = "/openapi.json"
COMPONENTS = "#/components/schemas/{name}"
ENGINE = "EngineParameters"
ANYTHING: JsonObject = {"type": "object"}
WORD, PLACE = re.compile(r"\w+"), re.compile(r"{(\w+)}")
IN_PATHS: Mapping[str, str] = {
    "model_id": "The model's name; it may hold slashes.",
    "operation": "One of its operations: chat, speech, ...",
    "token": "What stands at the end of the link.",
    "video_id": "The video's id.",
}
TITLE = "NEXUS"
ABOUT = (
    "One OpenAI-compatible endpoint in front of the machines you own. Every path under /v1 is there without /v1 too, "
    "and what may be read by GET is there for HEAD. This is the same for everybody: GET /v1/models tells "
    "the models, GET /v1/me what a key may do."
)
STATUSES: Mapping[int, str] = {
    400: "The request is not what this URL takes.",
    401: "The API key is missing or not valid.",
    403: "This may not be done by who asks, or from here.",
    404: "There is no such thing here.",
    405: "The URL does not take this method.",
    408: "The request came too slowly.",
    409: "It is otherwise by now, or there already.",
    413: "The request is too large.",
    414: "The URL is too long.",
    415: "The body's type or coding is not taken.",
    416: "The range begins behind the end.",
    417: "The header Expect asks for what is not done here.",
    421: "The gateway is called by a name that is not its own.",
    426: "The URL speaks WebSocket.",
    429: "Too much at once by who asks. Wait.",
    431: "The headers are too large.",
    500: "A fault of NEXUS.",
    501: "The body's transfer coding is not known.",
    502: "A backend failed.",
    503: "Not now. Wait.",
    504: "A backend took too long.",
    505: "The version of HTTP is not spoken here.",
}


def openapi_row(rows: Iterable[Row], *, needs_key: bool) -> Row:
    """The row of the document about `rows` and itself."""
    call = Call("GET", "This document.", (Content(ANYTHING, {"openapi": "3.1.0"}),))
    blank = Row("openapi", OPENAPI, {}, public=True, prefixes=("",), calls=(call,))
    body = msgspec.json.encode(document([*rows, blank], needs_key=needs_key))

    async def handle(exchange: Exchange) -> None:
        await exchange.respond(200, body)

    return replace(blank, handlers=reading(handle))


def document(rows: Sequence[Row], *, needs_key: bool) -> JsonObject:
    """The whole of it. The same rows make the same document, whatever the mesh is made of."""
    types: dict[str, Any] = {"ErrorEnvelope": ErrorEnvelope}
    paths: dict[str, JsonObject] = defaultdict(dict)
    for row in rows:
        for call in row.calls:
            types |= {kind.__name__: kind for kind in _types(call)}
            paths[_path(row, call)][call.method.lower()] = _operation(row, call, needs_key=needs_key)
    _, schemas = msgspec.json.schema_components(list(types.values()), ref_template=COMPONENTS)
    schemas |= {shape["title"]: shape for row in rows for call in row.calls for shape in _titled(call)}
    schemas["ErrorObject"]["properties"]["code"] = {"type": "string", "enum": sorted(CODES)}
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": "1", "description": ABOUT},
        "servers": [{"url": "/"}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {**schemas, ENGINE: engine_shape()},
            "responses": {str(status): _failure(status, answers) for status, answers in _by_status().items()},
            "headers": {
                name.decode(): {"description": about, "schema": {"type": "string"}}
                for name, about in _all_headers(rows).items()
            },
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key: nx_..."}
            },
        },
    }


def _path(row: Row, call: Call) -> str:
    return row.prefixes[0] + (call.path or row.path).replace(":path}", "}")


def _types(call: Call) -> Iterable[type]:
    for content in (*call.answers, *call.also.values(), *_bodies(call)):
        if content is not None and isinstance(content.schema, type):
            yield content.schema


def _titled(call: Call) -> Iterable[JsonObject]:
    """The shapes of its body that have a name of their own."""
    for body in _bodies(call):
        if isinstance(body.schema, dict):
            yield from (shape for shape in _branches(body.schema) if "title" in shape)


def _branches(shape: JsonObject) -> list[JsonObject]:
    return shape.get("anyOf", [shape])


def _all_headers(rows: Iterable[Row]) -> Mapping[bytes, str]:
    told = {name: about for row in rows for call in row.calls for name, about in call.told.items()}
    return {**ALWAYS, **ON_FAILURE, **told}


def _operation(row: Row, call: Call, *, needs_key: bool) -> JsonObject:
    path = _path(row, call)
    told: JsonObject = {
        "operationId": "_".join([call.method.lower(), *WORD.findall(path)]),
        "summary": call.summary,
        "security": [] if row.public else [{"key": []}] if needs_key else [{}, {"key": []}],
        "parameters": [
            *(_parameter(name, "path", IN_PATHS[name]) for name in PLACE.findall(path)),
            *(_parameter(name, "query", about) for name, about in call.query.items()),
            *(_parameter(name.decode(), "header", about) for name, about in call.asked.items()),
        ],
        "responses": {
            **({"200": _answer(call.summary, call.answers, {**ALWAYS, **call.told})} if call.answers else {}),
            **{
                str(status): _answer("", (content,), ALWAYS)
                if content
                else _answer("It is what the client has.", (), {**ALWAYS, **call.told})
                for status, content in call.also.items()
            },
            **{
                str(status): {"$ref": f"#/components/responses/{status}"}
                for status, answers in _by_status().items()
                if status not in call.also
                and (not row.public or any(each in EDGE.values() for each in answers))
            },
        },
    }
    if call.body is not None:
        told["requestBody"] = {"required": True, "content": _content(_bodies(call))}
    return told


def _parameter(name: str, place: str, about: str) -> JsonObject:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": about,
        "schema": {"type": "string"},
    }


def _answer(about: str, contents: Sequence[Content], headers: Mapping[bytes, str]) -> JsonObject:
    return {
        "description": about or "As with 200.",
        "headers": _headers(headers),
        **({"content": _content(contents)} if contents else {}),
    }


def _headers(headers: Iterable[bytes]) -> JsonObject:
    return {name.decode(): {"$ref": f"#/components/headers/{name.decode()}"} for name in headers}


def _bodies(call: Call) -> tuple[Content, ...]:
    return tuple(body for body in (call.body, call.or_body) if body is not None)


def _content(contents: Sequence[Content]) -> JsonObject:
    return {content.media: _media(content) for content in contents}


def _media(content: Content) -> JsonObject:
    if content.schema is None:
        schema: JsonObject = {"type": "string"}
    elif isinstance(content.schema, type):
        schema = _pointer(content.schema.__name__)
    elif all("title" in shape for shape in _branches(content.schema)):
        known = [_pointer(shape["title"]) for shape in _branches(content.schema)]
        schema = {"allOf": [known[0] if len(known) == 1 else {"anyOf": known}, _pointer(ENGINE)]}
    else:
        schema = content.schema
    told: JsonObject = {"schema": schema}
    return told if content.example is None else {**told, "example": msgspec.to_builtins(content.example)}


def _pointer(name: str) -> JsonObject:
    return {"$ref": COMPONENTS.format(name=name)}


def _by_status() -> dict[int, list[Answer]]:
    found: dict[int, list[Answer]] = defaultdict(list)
    for answer in (*REASONS.values(), *EDGE.values()):
        found[answer.status].append(answer)
    return dict(sorted(found.items()))


def _failure(status: int, answers: Sequence[Answer]) -> JsonObject:
    codes = sorted({answer.code for answer in answers})
    sent = {name: about for name, about in ON_FAILURE.items() if _is_sent(name.decode(), status)}
    return {
        "description": f"{STATUSES[status]} Codes: {', '.join(codes)}.",
        "headers": _headers({**ALWAYS, **sent}),
        "content": {"application/json": {"schema": _pointer("ErrorEnvelope")}},
    }


def _is_sent(header: str, status: int) -> bool:
    return (
        status
        in {
            "x-should-retry": {408, 409, 429, *range(500, 600)},
            "retry-after": {408, 429, 503},
            "www-authenticate": {401},
            "allow": {405},
        }[header]
    )
