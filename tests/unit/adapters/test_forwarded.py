"""What reaches which engine: all that its source reads, by its own names; what it would pass over is refused."""

from __future__ import annotations

from typing import Any

import pytest
from nexus_gateway.validation.engine import ENGINE, OPTIONS
from nexus_inference_adapters.openai.forwarded import (
    ENGINES,
    LEFT_OUT,
    NEUTRAL,
    OLLAMA_OPTIONS,
    OPENAI,
    OTHERS,
    PARTS_OF,
)
from nexus_inference_adapters.openai.requests import check_forwarded
from nexus_mesh.core.errors import MeshError, Reason

ALL = OPENAI | OTHERS | LEFT_OUT | frozenset().union(*ENGINES.values())
OPERATORS = {"documents", "repetition_detection", "num_draft_tokens"}
"""Known to an engine, and only for keys that manage models: no simple value, or a matter of the server."""
OLDER_OPTIONS = {"tfs_z", "mirostat", "mirostat_tau", "mirostat_eta", "penalize_newline"}
"""Of Ollama's until it forgot them: only their neutral values pass."""


def test_whatever_any_key_may_send_reaches_an_engine_that_knows_it() -> None:
    """D: the two lists, of who may send and of what is known, agree."""
    assert ENGINE.keys() - ALL == set()
    assert OPTIONS.keys() - OLLAMA_OPTIONS == OLDER_OPTIONS


def test_no_engine_is_sent_what_no_key_may_send() -> None:
    assert ALL - OPENAI - ENGINE.keys() - OPERATORS == {"keep_alive"}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", sorted(NEUTRAL))
def test_a_value_that_asks_for_nothing_is_no_reason_to_refuse(engine: str, name: str) -> None:
    """D: clients with many sliders send them all."""
    for value in NEUTRAL[name]:
        sent = check_forwarded(engine, {"model": "m", name: value})
        assert set(sent) <= {"model"} | ENGINES[engine]


@pytest.mark.parametrize(
    ("engine", "asked", "granted"),
    [
        ("vllm", {"cache_salt": "x"}, {"cache_salt"}),
        ("other", {"ttl": 5}, {"ttl"}),
        ("ollama", {"keep_alive": 0}, {"keep_alive"}),
        ("ollama", {"options": {"num_ctx": 9, "top_k": 5}}, {"options.num_ctx"}),
    ],
)
def test_what_was_granted_is_sent(engine: str, asked: dict[str, Any], granted: set[str]) -> None:
    """A12: by the operator's list, or to who manages models; and nothing else with it."""
    assert check_forwarded(engine, asked, frozenset(granted)) == asked
    if asked.keys() - LEFT_OUT:
        with pytest.raises(MeshError):
            check_forwarded(engine, asked, frozenset({"another"}))


def test_ollama_has_no_place_for_what_else_is_granted() -> None:
    """Its own API is spoken: what nothing reads there is refused, not dropped."""
    with pytest.raises(MeshError):
        check_forwarded("ollama", {"cache_salt": "x"}, frozenset({"cache_salt"}))


UNREAD: list[tuple[str, dict[str, Any]]] = [
    ("llama.cpp", {"min_tokens": 5}),
    ("llama.cpp", {"stop_token_ids": [1]}),
    ("llama.cpp", {"top_a": 0.5}),
    ("llama.cpp", {"tfs_z": 0.5}),
    ("llama.cpp", {"guided_json": {"type": "object"}}),
    ("vllm", {"typical_p": 0.5}),
    ("vllm", {"mirostat": 2}),
    ("vllm", {"mirostat": 2, "mirostat_tau": 3}),
    ("vllm", {"grammar": "root ::= x"}),
    ("mlx", {"ignore_eos": True}),
    ("mlx", {"min_tokens": 5}),
    ("mlx", {"typical_p": 0.5}),
    ("ollama", {"ignore_eos": True}),
    ("ollama", {"options": {"mirostat": 2}}),
    ("ollama", {"options": {"penalize_newline": False}}),
]


@pytest.mark.parametrize(("engine", "asked"), UNREAD, ids=str)
def test_what_an_engine_would_pass_over_is_refused_by_name(engine: str, asked: dict[str, Any]) -> None:
    """E2: nothing that would change the answer is dropped in silence."""
    with pytest.raises(MeshError) as caught:
        check_forwarded(engine, asked)
    first = min(asked)
    inner = f".{next(iter(asked[first]))}" if first == "options" else ""
    assert caught.value.reason is Reason.UNSUPPORTED_PARAMETER
    assert caught.value.metadata["param"] == first + inner


@pytest.mark.parametrize(
    ("engine", "asked", "sent"),
    [
        ("llama.cpp", {"repetition_penalty": 1.2}, {"repeat_penalty": 1.2}),
        ("ollama", {"repetition_penalty": 1.2}, {"repeat_penalty": 1.2}),
        ("vllm", {"repeat_penalty": 1.2}, {"repetition_penalty": 1.2}),
        ("mlx", {"repeat_penalty": 1.2}, {"repetition_penalty": 1.2}),
        ("vllm", {"repeat_penalty": 1.2, "repetition_penalty": 1.1}, {"repetition_penalty": 1.1}),
    ],
    ids=str,
)
def test_the_same_parameter_by_the_engines_name(
    engine: str, asked: dict[str, Any], sent: dict[str, Any]
) -> None:
    assert check_forwarded(engine, asked) == sent


OFF = {"enable_thinking": False, "thinking": False}
EFFORT = {"reasoning_effort": "low"}


@pytest.mark.parametrize("engine", ["llama.cpp", "vllm", "mlx"])
@pytest.mark.parametrize(
    ("asked", "variables", "effort"),
    [
        ({"think": False}, OFF, None),
        ({"enable_thinking": False}, OFF, None),
        ({"thinking": {"type": "disabled"}}, OFF, None),
        ({"reasoning": {"enabled": False}}, OFF, None),
        ({"reasoning": {"effort": "low"}}, EFFORT, "low"),
        ({"think": "low"}, EFFORT, "low"),
        ({"enable_thinking": True, "chat_template_kwargs": OFF}, OFF, None),
        ({"reasoning": {"summary": "auto"}}, {}, None),
    ],
    ids=str,
)
def test_thinking_is_switched_where_the_engine_looks_for_it(
    engine: str, asked: dict[str, Any], variables: dict[str, Any], effort: str | None
) -> None:
    """D5: an engine that reads only its template passes over every other word."""
    variables = {} if engine == "vllm" and effort else variables
    wanted = ({"chat_template_kwargs": variables} if variables else {}) | (
        {"reasoning_effort": effort} if effort else {}
    )
    assert check_forwarded(engine, asked) == wanted


@pytest.mark.parametrize("engine", ENGINES)
def test_the_parts_of_what_is_off_are_not_sent(engine: str) -> None:
    """D: llama.cpp refused the -1 that its own page once sent, of a sampler that was off."""
    asked = {"dry_multiplier": 0, "dry_penalty_last_n": -1, "mirostat": 0, "mirostat_tau": 5.0}
    assert PARTS_OF.keys().isdisjoint(check_forwarded(engine, asked))


def test_the_parts_of_a_switch_name_one_that_can_be_off() -> None:
    assert all(switch in NEUTRAL for switch in PARTS_OF.values())
