"""Real engines, no mocks, in one mesh: llama.cpp as a server, for embeddings and embedded, and mlx-lm's server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from support.e2e_mesh import HELLO, assert_honest, engine, raw_chat, sdk, serving
from support.live_mesh import LiveMesh, backend
from support.llama_cpp import LlamaCppServer
from support.mlx_server import MlxServer, mlx_server
from support.tiny_mlx import write_tiny_mlx

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = ("llama", "mlx-own", "demo")
DEMO = '[[backends]]\nname = "demo-box"\nkind = "embedded"\n'
LONG: Any = [{"role": "user", "content": "word " * 4000}]


@pytest.fixture(scope="module")
def mlx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlxServer]:
    """With a name of its own: the shared tiny models are all called tiny."""
    folder = tmp_path_factory.mktemp("mlx-real")
    with mlx_server(write_tiny_mlx(folder / "mlx-own"), folder / "home") as server:
        yield server


@pytest.fixture(scope="module")
def names(llama_cpp_server: LlamaCppServer, mlx: MlxServer) -> dict[str, str]:
    """What the mesh calls the models: a path is nobody's business."""
    return {"llama": llama_cpp_server.model.stem, "mlx-own": mlx.model.name, "demo": "nexus-demo"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(
    tmp_path_factory: pytest.TempPathFactory,
    llama_cpp_server: LlamaCppServer,
    llama_cpp_embedder: LlamaCppServer,
    mlx: MlxServer,
    names: dict[str, str],
) -> AsyncIterator[LiveMesh]:
    config = (
        backend("llama-box", llama_cpp_server.url, priority=1)
        + backend("vectors", llama_cpp_embedder.url, operations=["embedding"], priority=2)
        + engine("mlx", "mlx-box", mlx.url)
        + DEMO
    )
    async with serving(tmp_path_factory.mktemp("real"), config, *names.values()) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def client(mesh: LiveMesh) -> AsyncIterator[openai.AsyncOpenAI]:
    async with sdk(mesh) as opened:
        yield opened


@pytest.mark.parametrize("which", CHAT)
async def test_a_whole_and_a_streamed_answer_are_the_same(
    mesh: LiveMesh, client: openai.AsyncOpenAI, names: dict[str, str], which: str
) -> None:
    ask: Any = {"model": names[which], "messages": HELLO, "temperature": 0, "max_tokens": 6}
    raw = await client.chat.completions.with_raw_response.create(**ask)
    whole = raw.parse()
    assert whole.choices[0].finish_reason in ("stop", "length")
    assert whole.choices[0].message.content
    assert whole.model == names[which]
    assert whole.usage is not None
    assert 0 < whole.usage.completion_tokens <= 6
    assert whole.usage.prompt_tokens > 0
    fields = {key: value for key, value in ask.items() if key not in ("model", "messages")}
    answer = await raw_chat(mesh, names[which], stream=True, stream_options={"include_usage": True}, **fields)
    stream = assert_honest(answer)
    assert stream is not None
    assert stream.error is None
    assert stream.text() == whole.choices[0].message.content
    assert stream.finishes == {0: [whole.choices[0].finish_reason]}
    assert stream.chunks[-1]["usage"]["completion_tokens"] == whole.usage.completion_tokens
    assert answer.headers["x-nexus-backend"] == raw.headers["x-nexus-backend"]


@pytest.mark.parametrize("which", CHAT)
async def test_requests_one_right_after_the_other(mesh: LiveMesh, names: dict[str, str], which: str) -> None:
    """llama.cpp closes its connection after a stream, whatever it says."""
    for turn in range(10):
        answer = await raw_chat(mesh, names[which], stream=turn % 3 != 2, max_tokens=2)
        assert answer.status == 200, answer


@pytest.mark.parametrize("which", CHAT)
async def test_text_completions(client: openai.AsyncOpenAI, names: dict[str, str], which: str) -> None:
    ask: Any = {"model": names[which], "prompt": "one two", "max_tokens": 4, "temperature": 0}
    whole = await client.completions.create(**ask)
    pieces = [
        c.choices[0].text async for c in await client.completions.create(**ask, stream=True) if c.choices
    ]
    assert whole.choices[0].text == "".join(pieces)


@pytest.mark.parametrize("which", CHAT)
async def test_a_stop_sequence_ends_the_answer(
    client: openai.AsyncOpenAI, names: dict[str, str], which: str
) -> None:
    ask: Any = {"model": names[which], "messages": HELLO, "temperature": 0, "max_tokens": 12}
    text = (await client.chat.completions.create(**ask)).choices[0].message.content or ""
    end = text[3:5]
    cut = (await client.chat.completions.create(**ask, stop=end)).choices[0]
    assert cut.finish_reason == "stop"
    assert cut.message.content == text[: text.index(end)]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("which", ["llama", "demo"])
async def test_a_prompt_too_long_is_refused_not_cut(
    client: openai.AsyncOpenAI, names: dict[str, str], which: str, stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model=names[which], messages=LONG, stream=stream)
    assert refused.value.code == "context_length_exceeded"


async def test_llama_cpp_gives_several_choices_and_log_probabilities(
    client: openai.AsyncOpenAI, names: dict[str, str]
) -> None:
    answer = await client.chat.completions.create(
        model=names["llama"], messages=HELLO, n=2, max_tokens=3, logprobs=True, top_logprobs=2, seed=1
    )
    assert [choice.index for choice in answer.choices] == [0, 1]
    for choice in answer.choices:
        assert choice.logprobs is not None
        tokens = choice.logprobs.content or []
        assert len(tokens) == 3
        assert all(len(token.top_logprobs) == 2 and token.logprob <= 0 for token in tokens)


async def test_llama_cpp_keeps_to_a_json_schema(client: openai.AsyncOpenAI, names: dict[str, str]) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
              "additionalProperties": False}  # fmt: skip
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    answer = await client.chat.completions.create(
        model=names["llama"], messages=HELLO, response_format=wanted, max_tokens=60, temperature=0
    )
    assert (answer.choices[0].message.content or "").replace(" ", "").startswith('{"ok":')


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("n", 2),
        ("logprobs", True),
        ("response_format", {"type": "json_object"}),
        ("tool_choice", "required"),
    ],
)
async def test_what_mlx_lm_would_ignore_is_refused_by_name(
    client: openai.AsyncOpenAI, names: dict[str, str], param: str, value: Any
) -> None:
    tool: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    more = {"tools": [tool]} if param == "tool_choice" else {}
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model=names["mlx-own"], messages=HELLO, **{param: value}, **more)  # type: ignore[call-overload]
    assert refused.value.code in ("unsupported_parameter", "capability_missing")
    assert refused.value.param in (param, "tools")


async def test_mlx_lm_survives_nulls_and_never_loads_another_model(
    client: openai.AsyncOpenAI, names: dict[str, str]
) -> None:
    nulls: Any = {"temperature": None, "top_p": None, "stop": None, "seed": None}
    answer = await client.chat.completions.create(
        model=names["mlx-own"], messages=HELLO, max_tokens=2, **nulls
    )
    assert answer.choices[0].finish_reason == "length"
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.create(model="mlx-community/Llama-70B", messages=HELLO)


async def test_embeddings_come_from_the_engine_that_makes_them(
    client: openai.AsyncOpenAI, names: dict[str, str]
) -> None:
    raw = await client.embeddings.with_raw_response.create(model=names["llama"], input=["cat", "dog", "cat"])
    assert raw.headers["x-nexus-backend"] == "vectors"
    rows = raw.parse().data
    assert [row.index for row in rows] == [0, 1, 2]
    assert rows[0].embedding == pytest.approx(rows[2].embedding, abs=1e-5)
    assert rows[0].embedding != pytest.approx(rows[1].embedding, abs=1e-5)
    floats = await client.embeddings.create(model=names["llama"], input="cat", encoding_format="float")
    assert floats.data[0].embedding == pytest.approx(rows[0].embedding, abs=1e-4)
    with pytest.raises(openai.BadRequestError) as refused:
        await client.embeddings.create(model="nexus-demo", input="cat")
    assert refused.value.code == "capability_missing"
