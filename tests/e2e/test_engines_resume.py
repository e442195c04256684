"""A stream of a real llama.cpp, cut in the middle: another one with the same model goes on, letter for letter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nexus_inference_adapters.kinds.embedded
import openai
import pytest
import pytest_asyncio
from nexus_inference_adapters.kinds.embedded.engine import DEMO_MODEL
from support.e2e_mesh import raw_chat, sdk, serving
from support.live_mesh import LiveMesh, backend
from support.llama_cpp import llama_cpp
from support.snipping_proxy import SnippingProxy

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = Path(nexus_inference_adapters.kinds.embedded.__file__).parent / DEMO_MODEL
QUESTION: Any = [{"role": "user", "content": "What is NEXUS?"}]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two engines with one model: the preferred one is behind the proxy. Three retries are always granted, not more."""

    mesh: LiveMesh
    proxy: SnippingProxy
    model: str


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["resume", "no resume"])
async def pair(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[Pair]:
    folder, model = tmp_path_factory.mktemp("resume"), MODEL
    async with AsyncExitStack() as stack:
        engines = [stack.enter_context(llama_cpp(model, folder / f"{name}.log")) for name in ("a", "b")]
        proxy = await stack.enter_async_context(SnippingProxy(engines[0].url))
        config = backend("first", proxy.url, priority=1) + backend("second", engines[1].url, priority=2)
        if request.param == "resume":
            config += '[routing]\nresume = ["*"]\n'
        mesh = await stack.enter_async_context(serving(folder / "home", config, model.stem))
        yield Pair(mesh, proxy, model.stem)


@pytest_asyncio.fixture(loop_scope="module")
async def client(pair: Pair) -> AsyncIterator[openai.AsyncOpenAI]:
    async with sdk(pair.mesh) as opened:
        yield opened


@pytest.mark.parametrize("after", [1500, 4000])
async def test_the_answer_is_the_one_that_was_not_cut(
    pair: Pair, client: openai.AsyncOpenAI, after: int, request: pytest.FixtureRequest
) -> None:
    ask: Any = {"model": pair.model, "messages": QUESTION, "temperature": 0, "seed": 1}
    pair.proxy.after, cuts = None, pair.proxy.cut
    whole = await client.chat.completions.create(**ask)
    pair.proxy.after = after
    streaming = await client.chat.completions.create(
        **ask, stream=True, stream_options={"include_usage": True}
    )
    text, usage, finished, failed = "", None, None, None
    try:
        async for chunk in streaming:
            usage = chunk.usage or usage
            for choice in chunk.choices:
                text += choice.delta.content or ""
                finished = choice.finish_reason or finished
    except openai.APIError as error:
        failed = error
    assert pair.proxy.cut == cuts + 1
    if "no resume" in request.node.name:
        assert failed is not None
        assert (failed.code, finished) == ("stream_interrupted", None)
        assert (whole.choices[0].message.content or "").startswith(text)
        return
    assert (failed, finished) == (None, "stop")
    assert text == whole.choices[0].message.content
    assert usage is not None
    assert whole.usage is not None
    assert usage.prompt_tokens + usage.completion_tokens == pytest.approx(whole.usage.total_tokens, abs=2)


async def test_the_stream_says_that_it_was_gone_on_with(pair: Pair, request: pytest.FixtureRequest) -> None:
    pair.proxy.after = 1500
    answer = await raw_chat(pair.mesh, pair.model, messages=QUESTION, stream=True, temperature=0)
    assert (b": resumed on another backend" in answer.body) == ("no resume" not in request.node.name)
