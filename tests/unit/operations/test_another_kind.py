"""A kind of work that is not there yet, by a spec alone: what it is not is never taken for a chat or a text."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from nexus_gateway.access import ANONYMOUS
from nexus_gateway.core import InferenceRequest
from nexus_gateway.dialects.openai.answers import answer_body
from nexus_gateway.scrubbing.zone_exit import ZoneExits
from nexus_gateway.validation import parse
from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.contract import Work
from nexus_inference_adapters.kinds.ollama.request import Room, native_request
from nexus_inference_adapters.openai.normalise import whole_answer
from nexus_mesh.core import MeshError, Reason
from nexus_operations import SPECS, Form, Operation, estimate, table
from nexus_operations.prompts import prompts_in, read_texts

RERANK = 99
BODY: dict[str, Any] = {"model": "m", "query": "x" * 13_000, "documents": ["y" * 6500, "z" * 6500]}
ROWS = [{"index": 0, "relevance_score": 0.25}, {"index": 1, "relevance_score": 0.5}]


@pytest.fixture(autouse=True)
def rerank(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = replace(
        SPECS[Operation.EMBEDDING],
        number=RERANK,
        name="rerank",
        title="a reranking",
        path="/rerank",
        form=Form.OBJECT,
        rows="results",
        content="query",
        inputs=frozenset({"query", "documents"}),
        read=read_texts("query", "documents"),
        expected=lambda body: prompts_in(body.get("documents")),
        scrubbable=False,
    )
    monkeypatch.setattr(table, "SPECS", {**SPECS, RERANK: spec})
    monkeypatch.setitem(parse.CHECKS, RERANK, (lambda body: ({}, len(body["documents"])), {}))


def asked(**more: Any) -> InferenceRequest:
    body = json.dumps({**BODY, **more}).encode()
    return parse.parse_request(RERANK, body, request_id="r", principal=ANONYMOUS)


def work() -> Work:
    return Work(RERANK, "m", "offered", BODY, "r")


def test_its_prompt_counts_the_same_on_both_sides() -> None:
    assert asked().prompt.tokens == estimate(RERANK, BODY) == 26_000 / 4
    assert asked().affinity == 0


def test_its_answer_is_handed_on_whole() -> None:
    raw = json.dumps({"id": "e", "results": ROWS, "model": "own", "usage": {"prompt_tokens": 9}}).encode()
    completed = whole_answer(work(), raw)
    assert json.loads(completed.body) == {**json.loads(raw), "model": "offered"}
    assert completed.usage is not None
    assert completed.usage.prompt_tokens == 9
    assert json.loads(answer_body(asked(), completed.body)) == json.loads(completed.body)


@pytest.mark.parametrize("answer", [{"results": ROWS[:1]}, {"results": None}, {}, {"choices": ROWS}])
def test_an_answer_without_all_of_its_rows_is_none(answer: dict[str, Any]) -> None:
    raw = json.dumps(answer)
    for judge in (lambda: whole_answer(work(), raw.encode()), lambda: answer_body(asked(), raw)):
        with pytest.raises(MeshError) as refused:
            judge()
        assert refused.value.reason is Reason.UPSTREAM_MALFORMED


def test_it_is_no_stream() -> None:
    with pytest.raises(MeshError) as refused:
        asked(stream=True)
    assert refused.value.reason is Reason.UNSUPPORTED_PARAMETER
    assert "a reranking comes in one piece" in refused.value.message


def test_an_engine_that_has_no_way_to_do_it_is_not_asked() -> None:
    with pytest.raises(MeshError) as refused:
        native_request(
            work(), Room(BackendConfig(name="o", kind="ollama", url="http://127.0.0.1:1")), stream=False
        )
    assert refused.value.reason is Reason.CAPABILITY_MISSING


async def test_what_must_not_be_scrubbed_stays_in_its_zone() -> None:
    with pytest.raises(MeshError) as refused:
        await ZoneExits().scrub(asked())
    assert refused.value.reason is Reason.PRIVACY_ZONE
