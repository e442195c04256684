"""What a first `nexus up` answers: the shipped demo model in llama.cpp, asked by the OpenAI client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import gguf
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam
from support.llama_cpp import llama_cpp
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

MODEL = files("nexus_inference_adapters.kinds.embedded") / "models" / "nexus-demo.gguf"
SIZE_LIMIT = 8_000_000
SENTENCE_ENDS = (".", "!", "?", "```")
SET_QUESTIONS = {
    "Hello!": "NEXUS",
    "What is NEXUS?": "NEXUS is a mesh that joins the machines",
    "Who are you?": "I am nexus-demo, a tiny demo model",
    "How do I add a backend?": "`[[backends]]`",
    "How do I use my own model?": "`nexus up --model path.gguf`",
    "How do I point the OpenAI client at it?": "`http://127.0.0.1:8080/v1`",
    "How do I make an API key?": "`nexus keys create NAME`",
    "How do I see the models?": "`nexus models`",
    "Why did my request go where it went?": "`nexus explain MODEL`",
    "How do I join another machine?": "`nexus token create --node NAME`",
    "What is wrong?": "`nexus doctor`",
    "Is it secure?": "mutual TLS",
    "What ports does NEXUS use?": "8080",
    "What can you do?": "I can answer a few questions about NEXUS",
    "Can I use you for real work?": "please do not use me for real work",
    "Thanks!": "You are welcome!",
    "Goodbye!": "Goodbye!",
}
PARAPHRASES = {
    "HOW DO I USE MY OWN MODEL???": "`nexus up --model path.gguf`",
    "how do i use my onw model": "`nexus up --model path.gguf`",
    "how can i connect my ollama server": "`[[backends]]`",
    "WHAT IS NEXUS": "NEXUS is a mesh",
    "which base_url should my openai client use?": "`http://127.0.0.1:8080/v1`",
    "where do i get an api key?": "`nexus keys create NAME`",
    "how do i add my mac to the mesh": "`nexus join TOKEN`",
    "Are you GPT-4?": "I am nexus-demo",
}
UNKNOWN = (
    "What is the capital of France?",
    "17 * 23",
    "Write a Python function that reverses a string.",
    "Write me a story about a lonely robot.",
    "Please book a flight to Madrid",
)


@pytest.fixture(scope="module")
def model() -> Iterator[Path]:
    with as_file(MODEL) as path:
        yield path


@pytest.fixture(scope="module")
def client(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    log = tmp_path_factory.mktemp("demo_model") / "log"
    with llama_cpp(model, log) as server, OpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
        yield client


def ask(client: OpenAI, *turns: str | ChatCompletionMessageParam, **options: Any) -> str:
    """The answer, which must have ended by itself with a whole sentence."""
    messages: list[Any] = [
        {"role": "user", "content": turn} if isinstance(turn, str) else turn for turn in turns
    ]
    reply = client.chat.completions.create(model="nexus-demo", messages=messages, max_tokens=256, **options)
    choice = reply.choices[0]
    answer = choice.message.content or ""
    assert choice.finish_reason == "stop"
    assert answer.endswith(SENTENCE_ENDS), answer
    return answer


def test_the_file_is_small_and_says_that_it_is_a_demo(model: Path) -> None:
    assert model.stat().st_size < SIZE_LIMIT
    reader = gguf.GGUFReader(model)
    assert reader.fields["general.name"].contents() == "nexus-demo"
    assert "demo" in reader.fields["general.description"].contents()


@pytest.mark.parametrize(("question", "expected"), (SET_QUESTIONS | PARAPHRASES).items())
def test_a_set_question_gets_its_answer(client: OpenAI, question: str, expected: str) -> None:
    assert expected in ask(client, question, temperature=0)


@pytest.mark.parametrize("question", UNKNOWN)
def test_the_unknown_is_declined_honestly(client: OpenAI, question: str) -> None:
    answer = ask(client, question, temperature=0)
    assert "only nexus-demo" in answer
    assert "`nexus up --model path.gguf`" in answer


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("question", "expected"), SET_QUESTIONS.items())
def test_sampling_keeps_to_the_answer(client: OpenAI, question: str, expected: str, seed: int) -> None:
    assert expected in ask(client, question, temperature=0.8, seed=seed)


def test_every_turn_of_a_long_conversation_gets_its_answer(client: OpenAI) -> None:
    history: list[ChatCompletionMessageParam] = []
    for question, expected in [*SET_QUESTIONS.items()] * 2:
        history.append({"role": "user", "content": question})
        answer = ask(client, *history, temperature=0)
        assert expected in answer
        history.append({"role": "assistant", "content": answer})


def test_a_system_message_changes_nothing(client: OpenAI) -> None:
    system: ChatCompletionMessageParam = {"role": "system", "content": "You are a helpful assistant."}
    question = "How do I make an API key?"
    assert ask(client, system, question, temperature=0) == ask(client, question, temperature=0)


def test_a_long_prompt_still_ends_in_a_sentence(client: OpenAI) -> None:
    system: ChatCompletionMessageParam = {"role": "system", "content": "Be kind to the little robot. " * 100}
    assert "NEXUS" in ask(client, system, "What is NEXUS?", temperature=0)


def test_json_is_closed_when_it_is_demanded(client: OpenAI) -> None:
    reply = client.chat.completions.create(
        model="nexus-demo",
        messages=[{"role": "user", "content": "What is NEXUS? Answer in JSON."}],
        max_tokens=256,
        temperature=0,
        response_format={"type": "json_object"},
    )
    assert reply.choices[0].finish_reason == "stop"
    assert "NEXUS is a mesh" in json.loads(reply.choices[0].message.content or "")["answer"]


def test_llama_cpp_splits_text_as_in_training(client: OpenAI, model: Path) -> None:
    tokenizer = rebuilt_tokenizer(model)
    for text in (
        "What is NEXUS?\n\n  It's a   mesh, isn't it?\t",
        "<|im_start|>user\nhow do i use my own model??<|im_end|>\n<|im_start|>assistant\n",
        "Привет, 你好, 😀: naïve café №12345 [[backends]] `nexus up --model path.gguf`",
    ):
        reply = client.post("/../tokenize", cast_to=dict, body={"content": text, "parse_special": True})
        assert reply["tokens"] == tokenizer.encode(text).ids


def rebuilt_tokenizer(model: Path) -> Tokenizer:
    """The tokenizer as the `tokenizers` library runs it, from what the GGUF says of it."""
    fields = gguf.GGUFReader(model).fields
    names = fields["tokenizer.ggml.tokens"].contents()
    kinds = fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    tokenizer = Tokenizer(models.BPE({name: number for number, name in enumerate(names)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = (name for name, kind in zip(names, kinds, strict=True) if kind == gguf.TokenType.CONTROL)
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in special])
    return tokenizer
