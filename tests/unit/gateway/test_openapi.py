"""/openapi.json: every route is in it, every example holds, and what it says is what is answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from jsonschema import Draft202012Validator
from nexus_gateway.dialects.nexus.openapi import document
from nexus_gateway.http.options import EdgeOptions
from nexus_gateway.http.rows import Row
from nexus_gateway.http.status import CODES
from nexus_gateway.routes import build_app
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import Match, Route
from support.edge_pipeline import EdgePipeline

OPEN, KEYED = EdgeOptions(), EdgeOptions(needs_key=True, expose_metrics=False)


def routes(options: EdgeOptions) -> list[Route]:
    app: Any = build_app(EdgePipeline(), options)
    return list(app.routes)


def row_of(route: Route) -> Row:
    return cast(Any, route).app.row


def spec(options: EdgeOptions = OPEN) -> dict[str, Any]:
    rows = [row_of(route) for route in routes(options)]
    return json.loads(json.dumps(document(rows, needs_key=options.needs_key)))


def operations(told: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def whole(told: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    """A validator that finds what the schema points to."""
    return Draft202012Validator({**schema, "components": told["components"]})


@pytest.mark.parametrize("options", [OPEN, KEYED], ids=["open", "keyed"])
def test_it_is_valid_openapi(options: EdgeOptions) -> None:
    OpenAPIV31SpecValidator(spec(options)).validate()


@pytest.mark.parametrize("options", [OPEN, KEYED], ids=["open", "keyed"])
def test_every_route_and_method_is_in_it(options: EdgeOptions) -> None:
    told = spec(options)
    found = {(path.replace("{model_id}", "m/n"), method) for path, method, _ in operations(told)}
    for route in routes(options):
        row = row_of(route)
        for method in row.handlers.keys() - {"HEAD"}:
            assert any(
                method == given and route.matches(scope(prefix, path, method))[0] is Match.FULL
                for path, given in found
                for prefix in (path, path.removeprefix("/v1"))
            ), (route.path, method)


def scope(path: str, _: str, method: str) -> dict[str, Any]:
    return {"type": "http", "path": path, "method": method, "root_path": "", "headers": []}


def test_nothing_is_in_it_that_is_no_route() -> None:
    known = routes(OPEN)
    for path, method, _ in operations(spec()):
        given = scope(path.replace("{model_id}", "m"), path, method)
        taking = [route for route in known if route.matches(given)[0] is Match.FULL]
        assert taking, path
        assert method in row_of(taking[0]).handlers


def examples(told: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], Any]]:
    for path, method, operation in operations(told):
        bodies = [operation.get("requestBody"), *operation["responses"].values()]
        for body in bodies:
            for content in (body or {}).get("content", {}).values():
                if "example" in content:
                    yield f"{method} {path}", content["schema"], content["example"]


def test_every_example_holds() -> None:
    told, seen = spec(), set()
    for where, schema, example in examples(told):
        seen.add(where)
        if isinstance(example, str) and schema == {"type": "string"}:
            continue
        errors = [error.message for error in whole(told, schema).iter_errors(example)]
        assert not errors, (where, errors)
        assert not whole(told, schema).is_valid([])
    assert seen >= {f"{method} {path}" for path, method, _ in operations(told) if path.startswith("/v1/")}


def test_every_code_is_named_and_every_answer_has_our_headers() -> None:
    told = spec()
    assert set(told["components"]["schemas"]["ErrorObject"]["properties"]["code"]["enum"]) == CODES
    for path, _, operation in operations(told):
        for status, answer in operation["responses"].items():
            name = answer.get("$ref", "").rpartition("/")[2]
            assert "x-request-id" in told["components"]["responses"].get(name, answer)["headers"], (
                path,
                status,
            )
    chat = told["paths"]["/v1/chat/completions"]["post"]
    assert "x-nexus-backend" in chat["responses"]["200"]["headers"]
    assert {each["name"] for each in chat["parameters"]} >= {
        "x-nexus-zone",
        "x-nexus-priority",
        "x-nexus-strict",
    }
    assert "retry-after" in told["components"]["responses"]["429"]["headers"]


def test_keys_are_demanded_where_they_are_needed() -> None:
    for options, wanted in ((KEYED, [{"key": []}]), (OPEN, [{}, {"key": []}])):
        told = spec(options)
        assert told["paths"]["/v1/models"]["get"]["security"] == wanted
        assert told["paths"]["/healthz"]["get"]["security"] == []


@pytest.mark.security
def test_it_names_nothing_of_the_mesh() -> None:
    """It is public: what it says it says of NEXUS, not of who runs it."""
    text = json.dumps(spec(KEYED))
    assert "llama3.1" not in text
    assert "/metrics" not in text
