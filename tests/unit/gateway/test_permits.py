"""Which parameters an ordinary key may send: an allow-list, for what nobody knows may reach past its own request."""

from __future__ import annotations

import json
from typing import Any

import pytest
from nexus.types.v1 import model_pb2
from nexus_gateway.access import ANONYMOUS
from nexus_gateway.core.request import InferenceRequest
from nexus_gateway.validation.parse import granted, parse_request
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


def sent(operation: int, **extra: Any) -> InferenceRequest:
    """The request of an ordinary key."""
    body = json.dumps({**GOOD[operation], **extra}).encode()
    request = parse_request(operation, body, request_id="req_1", principal=ANONYMOUS)
    assert granted(request.body) == []
    return request


RESIDENCE: list[dict[str, Any]] = [
    {"keep_alive": 0},
    {"keep_alive": "0s"},
    {"keep_alive": -1},
    {"ttl": 1},
    {"num_ctx": 2048},
    {"draft_model": "other"},
    *({"options": {name: 1}} for name in ("num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread")),
    *({"options": {name: True}} for name in ("use_mmap", "use_mlock", "low_vram", "numa", "vocab_only")),
]
FOREIGN: list[dict[str, Any]] = [
    {"kv_transfer_params": {"do_remote_prefill": True, "remote_host": "10.0.0.1"}},
    {"logits_processors": ["os.system"]},
    {"lora": [{"id": 0, "scale": 1}]},
    {"lora_request": {"lora_path": "/"}},
    {"lora_path": "/"},
    {"adapters": "/srv/x"},
    {"id_slot": 0},
    {"slot_id": 0},
    {"priority": -1000},
    {"cache_salt": "x"},
    {"request_id": "x"},
    {"n_cache_reuse": 1},
    {"mm_processor_kwargs": {"num_crops": 10_000}},
    {"media_io_kwargs": {"video": {"num_frames": -1}}},
    {"vllm_xargs": {"a": 1}},
    {"data_parallel_rank": 3},
    {"bootstrap_host": "10.0.0.1"},
    {"custom_logit_processor": "x"},
    {"session_params": {"id": 1}},
    {"return_hidden_states": True},
    {"guided_decoding_backend": "x"},
    {"model_path": "/etc/passwd"},
    {"template": "{{ .Prompt }}"},
    {"raw": True},
    {"context": [1, 2]},
    {"images": ["x"]},
    {"options": {"bogus": 1}},
    {"options": {"": 1}},
    {"whatever": {"a": [1]}},
]


@pytest.mark.security
@pytest.mark.parametrize("extra", RESIDENCE, ids=str)
@pytest.mark.parametrize("operation", GOOD)
def test_what_moves_a_shared_model_needs_manage(operation: int, extra: dict[str, Any]) -> None:
    """A12: unload by another name is as forbidden as unload."""
    with pytest.raises(MeshError) as caught:
        sent(operation, **extra)
    assert caught.value.reason is Reason.CALLER_SCOPE
    assert caught.value.metadata["param"] == path_of(extra)


@pytest.mark.security
@pytest.mark.parametrize("extra", FOREIGN, ids=str)
@pytest.mark.parametrize("operation", GOOD)
def test_what_nobody_here_knows_is_refused_by_its_name(operation: int, extra: dict[str, Any]) -> None:
    """A12: an allow-list; the next engine's new parameter is refused before anybody has heard of it."""
    with pytest.raises(MeshError) as caught:
        sent(operation, **extra)
    assert caught.value.reason is Reason.UNSUPPORTED_PARAMETER
    assert caught.value.metadata == {"param": path_of(extra)}


def path_of(extra: dict[str, Any]) -> str:
    (name,) = extra
    return name if name != "options" else f"options.{next(iter(extra[name]))}"


CLIENTS: dict[str, dict[str, Any]] = {
    "Continue": {"stop": [str(n) for n in range(9)], "prediction": {"type": "content", "content": "x"}},
    "Zed": {"stop": [], "tools": [], "parallel_tool_calls": False, "prompt_cache_key": "x", "temperature": 1},
    "Cline": {"stream": True, "stream_options": {"include_usage": True}, "include_reasoning": True},
    "an OpenRouter client": {"usage": {"include": True}, "reasoning": {"effort": "high"}, "transforms": []},
    "Open WebUI": {
        "top_k": 40, "min_p": 0.1, "repeat_penalty": 1.1, "mirostat": 0, "mirostat_tau": 5.0, "think": "high",
        "seed": 1, "logit_bias": {"5": -100},
        "options": {"num_predict": 5, "top_k": 3, "stop": ["x"], "penalize_newline": False},
    },
    "SillyTavern": {
        "top_a": 0, "tfs": 1, "typical_p": 1, "repetition_penalty": 1.05, "rep_pen": 1, "dry_multiplier": 0.8,
        "dry_sequence_breakers": ["\n", ":"], "xtc_probability": 0.1, "sampler_order": [6, 0, 1],
        "samplers": ["top_k", "temperature"], "ignore_eos": False, "cache_prompt": True, "custom_token_bans": "",
        "banned_strings": [], "include_reasoning": True, "add_bos_token": True, "grammar": "root ::= x",
    },
    "vLLM's users": {
        "guided_choice": ["a", "b"], "guided_regex": "a{3}", "guided_json": {"type": "object"}, "min_tokens": 3,
        "structured_outputs": {"choice": ["a"]}, "stop_token_ids": [1, 2], "skip_special_tokens": True,
        "chat_template_kwargs": {"enable_thinking": False}, "include_stop_str_in_output": True,
    },
    "llama.cpp's users": {"json_schema": {"type": "object"}, "n_predict": 5, "n_probs": 2, "reasoning_format": "none"},
    "Ollama's users": {"format": {"type": "object"}, "think": False},
    "OpenAI's users": {
        "store": False, "metadata": {"a": "b"}, "user": "u", "service_tier": "auto", "safety_identifier": "x",
        "reasoning_effort": "low", "verbosity": "low", "prompt_cache_retention": "24h", "web_search_options": {},
        "modalities": ["text"], "moderation": {"model": "x"},
    },
    "Mistral's users": {"random_seed": 5, "safe_prompt": False},
}  # fmt: skip


@pytest.mark.parametrize("client", CLIENTS)
def test_what_ordinary_clients_send_travels_on(client: str) -> None:
    """A12: the allow-list is as wide as what is in use."""
    body = sent(CHAT, **CLIENTS[client]).body
    nothing = {"stop"} if client == "Zed" else set()
    assert body == {**GOOD[CHAT], **{key: v for key, v in CLIENTS[client].items() if key not in nothing}}


def test_null_asks_for_nothing() -> None:
    assert sent(CHAT, keep_alive=None, whatever=None, top_k=None).body == GOOD[CHAT]


@pytest.mark.parametrize(
    ("extra", "param"),
    [
        ({"top_k": "40"}, "top_k"),
        ({"top_k": True}, "top_k"),
        ({"min_p": 1e300}, "min_p"),
        ({"ignore_eos": 1}, "ignore_eos"),
        ({"samplers": [["a"]]}, "samplers[0]"),
        ({"stop_token_ids": ["a"]}, "stop_token_ids[0]"),
        ({"grammar": "x" * 70_000}, "grammar"),
        ({"guided_regex": "(a+)+"}, "guided_regex"),
        ({"structured_outputs": {"regex": "("}}, "structured_outputs.regex"),
        ({"structured_outputs": {"structural_tag": "x"}}, "structured_outputs"),
        ({"guided_json": {"type": 5}}, "guided_json.type"),
        ({"format": "xml"}, "format"),
        ({"reasoning": {"a": {}}}, "reasoning.a"),
        ({"options": 5}, "options"),
        ({"options": {"top_k": "5"}}, "options.top_k"),
        ({"options": {"stop": [5]}}, "options.stop[0]"),
    ],
    ids=str,
)
def test_types_are_checked_whoever_asks(extra: dict[str, Any], param: str) -> None:
    with pytest.raises(MeshError) as caught:
        parse_request(CHAT, json.dumps({**GOOD[CHAT], **extra}).encode(), request_id="r", principal=ANONYMOUS)
    assert (caught.value.reason, caught.value.metadata["param"]) == (Reason.INVALID_REQUEST, param)


def test_a_typing_error_is_told() -> None:
    with pytest.raises(MeshError, match="Did you mean 'repetition_penalty'"):
        sent(CHAT, repetition_penalti=1.1)


def test_the_operator_may_let_more_through() -> None:
    body = {**GOOD[CHAT], "cache_salt": "x", "options": {"bogus": 1}}
    assert granted(body, {"cache_salt", "options"}) == ["cache_salt", "options.bogus"]
    assert granted(body, {"cache_salt", "options.bogus"}) == ["cache_salt", "options.bogus"]
    with pytest.raises(MeshError):
        granted(body, {"options"})


@pytest.mark.security
@pytest.mark.parametrize("extra", RESIDENCE, ids=str)
def test_who_manages_models_decides_where_they_lie(extra: dict[str, Any]) -> None:
    """A12"""
    (name,) = granted({**GOOD[CHAT], **extra}, manages=True)
    assert name.rpartition(".")[2] in json.dumps(extra)


@pytest.mark.security
@pytest.mark.parametrize("extra", FOREIGN, ids=str)
def test_not_even_who_manages_sends_what_only_the_operator_lets_through(extra: dict[str, Any]) -> None:
    """A12: what the gateway does not grant no adapter sends, for it is on none of their lists."""
    assert granted({**GOOD[CHAT], **extra}, manages=True) == []
