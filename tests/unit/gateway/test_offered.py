"""What is offered is taken: requests drawn of the schemas, by the gateway's checks and by those of every host."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from nexus.types.v1 import model_pb2
from nexus_gateway.access import Principal
from nexus_gateway.validation import CHECKS, Backing, check_request, granted, offered
from nexus_gateway.validation.body_rules import body_rules_of
from nexus_gateway.validation.params import shape_of
from nexus_gateway.validation.parse import ANYWHERE
from nexus_inference_adapters.host.parameters import check_parameters
from nexus_mesh.core import MeshError
from nexus_operations import SPECS, Operation
from support.forms import File, broken, empty, filled, values
from support.properties import examples, given

CALLER = Principal("k", "k")
ALL = frozenset(model_pb2.Capability.values()) - {0}
ABLE = Backing("", ALL, 4096)
MANY = examples(150, slow=True)


def schema_of(operation: int, *backings: Backing) -> dict[str, Any]:
    found = offered(operation, backings)
    assert found is not None
    return found.schema


def taken(operation: int, body: dict[str, Any], backings: Iterable[Backing]) -> None:
    """Raises MeshError when the gateway or the host of any backend refuses it."""
    body = {"model": "m", **{name: value for name, value in body.items() if not isinstance(value, File)}}
    request = check_request(operation, body, size=0, request_id="req_test", principal=CALLER)
    assert granted(request.body) == []
    backings = list(backings)
    assert any(request.needs <= each.capabilities for each in backings), request.needs
    for each in backings:
        told = model_pb2.OperationParameters(operation=operation, schema=each.catalogue)  # type: ignore[arg-type]
        check_parameters(
            model_pb2.Model(id="m", parameters=[told] if each.catalogue else []), operation, request.body
        )


@st.composite
def catalogues(draw: st.DrawFn, operation: int) -> str:
    """What some backend may say: of some parameters, in ranges and choices of its own."""
    whole, check = schema_of(operation, ABLE), CHECKS[operation][0]
    names = draw(st.lists(st.sampled_from(sorted(ANYWHERE)), max_size=3, unique=True))
    names += draw(st.lists(st.sampled_from(sorted(whole["properties"])), unique=True))
    told: dict[str, Any] = {}
    for name in {*names, *whole["required"], *body_rules_of(check).said} - {"model"}:
        shape = whole["properties"].get(name) or shape_of(ANYWHERE[name])
        if shape.get("format") == "binary":
            continue
        some = values(shape)
        kind = draw(st.sampled_from(["any", "enum", "named", "bounded", "same"]))
        if kind == "enum":
            told[name] = {"enum": draw(st.lists(some, min_size=1, max_size=4, unique_by=repr))}
        elif kind == "named":
            chosen = draw(st.lists(some, min_size=1, max_size=4, unique_by=repr))
            told[name] = {"oneOf": [{"const": each, "title": "It"} for each in chosen]}
        elif kind == "bounded" and shape.get("type") in ("integer", "number"):
            low, high = sorted((draw(some), draw(some)))
            told[name] = {"type": shape["type"], "minimum": low, "maximum": high, "default": low}
        else:
            told[name] = {} if kind == "any" else dict(shape)
    closed = {"additionalProperties": False} if draw(st.booleans()) else {}
    return json.dumps({"properties": told, **closed})


@st.composite
def backends(draw: st.DrawFn, operation: int) -> list[Backing]:
    capabilities = st.frozensets(st.sampled_from(sorted(ALL)))
    return draw(
        st.lists(
            st.builds(
                Backing, st.just("") | catalogues(operation), capabilities, st.sampled_from([0, 64, 8192])
            ),
            min_size=1,
            max_size=3,
        )
    )


@pytest.mark.parametrize("operation", CHECKS, ids=lambda number: SPECS[number].name)
@given(data=st.data())
@MANY
def test_whatever_is_of_a_schema_is_taken(operation: int, data: st.DataObject) -> None:
    some = data.draw(backends(operation))
    found = offered(operation, some)
    assert found == offered(operation, [*reversed(some), *some])
    if found is None:
        return
    Draft202012Validator.check_schema(found.schema)
    body = data.draw(filled(found.schema))
    taken(operation, body, some)


@pytest.mark.parametrize("operation", CHECKS, ids=lambda number: SPECS[number].name)
@given(data=st.data())
@examples(50, slow=True)
def test_an_empty_form_is_one_with_the_defaults_in_it(operation: int, data: st.DataObject) -> None:
    schema = schema_of(operation, ABLE)
    least = data.draw(empty(schema))
    usual = {name: each["default"] for name, each in schema["properties"].items() if "default" in each}
    answers = []
    for body in (least, {**usual, **least}):
        sent = {"model": "m", **{name: value for name, value in body.items() if not isinstance(value, File)}}
        request = check_request(operation, sent, size=0, request_id="r", principal=CALLER)
        said = {name: value for name, value in request.body.items() if usual.get(name) != value}
        answers.append((request.stream, request.answers, request.needs, request.base64, said))
    assert answers[0] == answers[1]


BROKEN = {
    "a choice more": (Operation.IMAGE, "quality"),
    "a number that is none": (Operation.CHAT, "temperature"),
    "a list that is none": (Operation.TRANSCRIPTION, "keywords"),
    "a parameter nobody has": (Operation.SPEECH, "pitch"),
}


@pytest.mark.parametrize("why", BROKEN)
def test_a_schema_that_says_too_much_is_found_out(why: str) -> None:
    operation, name = BROKEN[why]
    schema = broken(schema_of(operation, ABLE), name)

    @given(filled(schema))
    @examples(150, slow=True, shrinks=False)
    def drawn(body: dict[str, Any]) -> None:
        taken(operation, body, [ABLE])

    with pytest.raises(MeshError, match=name):
        drawn()


@pytest.mark.parametrize("operation", [Operation.CHAT, Operation.IMAGE, Operation.TRANSCRIPTION])
def test_what_goes_with_what_is_found_out_as_well(operation: int) -> None:
    schema = {name: each for name, each in schema_of(operation, ABLE).items() if name != "allOf"}

    @given(filled(schema))
    @examples(150, slow=True, shrinks=False)
    def drawn(body: dict[str, Any]) -> None:
        taken(operation, body, [ABLE])

    with pytest.raises((MeshError, BaseExceptionGroup)):
        drawn()


def test_hosts_that_take_less_are_heard() -> None:
    only = Backing(json.dumps({"properties": {"voice": {"enum": ["de"]}}, "additionalProperties": False}))
    with pytest.raises(MeshError, match="voice"):
        taken(Operation.SPEECH, {"input": "hi", "voice": "en"}, [only])
