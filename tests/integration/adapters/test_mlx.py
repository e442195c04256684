"""The MLX adapter against the real mlx_lm.server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from nexus.registry.v1 import instance_pb2
from nexus_inference_adapters.host.backend import Backend
from nexus_mesh.core.errors import MeshError, Reason
from support.adapter_host import HELLO, Bench
from support.mlx_server import MlxServer
from support.waiting import eventually

SHORT = {**HELLO, "max_tokens": 5, "temperature": 0}


async def serve(bench: Bench, server: MlxServer, **config: Any) -> Backend:
    return await bench.serve("mlx", server.url, **config)


async def test_the_model_it_was_started_with_is_offered_by_its_last_name(
    bench: Bench, mlx_lm_server: MlxServer
) -> None:
    backend = await serve(bench, mlx_lm_server)
    [offer] = backend.inspection.offers
    assert (offer.model.id, offer.name) == (mlx_lm_server.model.name, "default_model")
    body = await bench.complete(backend, SHORT)
    assert body["model"] == mlx_lm_server.model.name
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 5


async def test_stream_equals_the_whole_answer(bench: Bench, mlx_lm_server: MlxServer) -> None:
    backend = await serve(bench, mlx_lm_server)
    streamed = await bench.stream(backend, SHORT)
    whole = (await bench.complete(backend, SHORT))["choices"][0]["message"]["content"]
    assert streamed.text() == whole
    assert sum("role" in choice["delta"] for choice in streamed.choices) == 1
    assert streamed.finish is not None
    assert streamed.finish.usage is not None
    assert streamed.finish.usage.completion_tokens == 5


async def test_nulls_and_whole_numbers_for_fractions_are_harmless(
    bench: Bench, mlx_lm_server: MlxServer
) -> None:
    backend = await serve(bench, mlx_lm_server)
    odd = {
        "temperature": None,
        "top_p": None,
        "stream": None,
        "xtc_probability": 0,
        "seed": 3.0,
        "stop": None,
    }
    assert (await bench.complete(backend, {**SHORT, **odd}))["choices"]
    assert (await bench.stream(backend, {**SHORT, **odd, "stream_options": {}})).finish is not None


@pytest.mark.parametrize("value", ["hot", [1], True])
async def test_values_of_the_wrong_type_are_refused_here(
    bench: Bench, mlx_lm_server: MlxServer, value: Any
) -> None:
    backend = await serve(bench, mlx_lm_server)
    with pytest.raises(MeshError) as caught:
        await bench.complete(backend, {**SHORT, "temperature": value})
    assert (caught.value.reason, caught.value.metadata["param"]) == (Reason.INVALID_REQUEST, "temperature")


@pytest.mark.parametrize("name", ["top_k", "seed"])
async def test_minus_one_means_what_it_means_elsewhere(
    bench: Bench, mlx_lm_server: MlxServer, name: str
) -> None:
    """D2: a seed of -1 made it break off its answer."""
    backend = await serve(bench, mlx_lm_server)
    assert (await bench.complete(backend, {**SHORT, name: -1}))["choices"]


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("n", 2),
        ("response_format", {"type": "json_object"}),
        ("tool_choice", "required"),
        ("logprobs", True),
    ],
)
async def test_what_mlx_would_ignore_is_refused(
    bench: Bench, mlx_lm_server: MlxServer, param: str, value: Any
) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    backend = await serve(bench, mlx_lm_server)
    with pytest.raises(MeshError) as caught:
        await bench.complete(backend, {**SHORT, "tools": tools, param: value})
    assert (caught.value.reason, caught.value.metadata["param"]) == (Reason.UNSUPPORTED_PARAMETER, param)


async def test_names_outside_the_allow_list_never_reach_it(bench: Bench, mlx_lm_server: MlxServer) -> None:
    backend = await serve(bench, mlx_lm_server)
    for name in ("mlx-community/huge-model", "default_model/../x", str(mlx_lm_server.model) + "-other"):
        with pytest.raises(MeshError) as caught:
            await bench.complete(backend, {**SHORT, "model": name})
        assert caught.value.reason is Reason.MODEL_NOT_FOUND


async def test_an_allowed_name_it_cannot_load_is_its_failure(
    bench: Bench, own_mlx_lm_server: MlxServer
) -> None:
    backend = await serve(bench, own_mlx_lm_server, models=("org/not-here",))
    with pytest.raises(MeshError) as caught:
        await bench.complete(backend, SHORT)
    assert caught.value.reason is Reason.UPSTREAM_ERROR


async def test_several_models_are_served_one_request_at_a_time(
    bench: Bench, mlx_lm_server: MlxServer
) -> None:
    one = await serve(bench, mlx_lm_server)
    several = await serve(bench, mlx_lm_server, models=("a", "b"))
    assert one.describe().load.capacity > 1
    assert several.describe().load.capacity == 1


async def test_text_completion(bench: Bench, mlx_lm_server: MlxServer) -> None:
    backend = await serve(bench, mlx_lm_server)
    body = await bench.complete(backend, {"prompt": "once", "temperature": 0}, "completion")
    assert body["usage"]["completion_tokens"] <= 16
    streamed = await bench.stream(
        backend, {"prompt": "once", "temperature": 0, "max_tokens": 4}, "completion"
    )
    assert streamed.finish_reasons == ["length"]


async def test_it_does_not_embed(bench: Bench, mlx_lm_server: MlxServer) -> None:
    backend = await serve(bench, mlx_lm_server)
    with pytest.raises(MeshError) as caught:
        await bench.complete(backend, {"input": "a"}, "embedding")
    assert caught.value.reason is Reason.CAPABILITY_MISSING


async def test_killed_in_a_stream_it_is_lost_and_seen(bench: Bench, own_mlx_lm_server: MlxServer) -> None:
    backend = await serve(bench, own_mlx_lm_server)
    task = asyncio.ensure_future(bench.stream(backend, {**HELLO, "max_tokens": 100_000}))
    await eventually(lambda: backend.describe().load.active, what="the stream to run")
    await asyncio.sleep(0.3)
    own_mlx_lm_server.child.kill()
    with pytest.raises(MeshError) as caught:
        await task
    assert caught.value.reason in {Reason.BACKEND_LOST, Reason.BACKEND_DOWN}
    await eventually(
        lambda: backend.inspection.state == instance_pb2.STATE_UNHEALTHY, 2.0, "the backend to be unhealthy"
    )
