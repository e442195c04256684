"""A model's own tokenizer file, where its backend does not count: closer than a guess, and still marked as one."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from nexus_inference_adapters.config import AdapterSettings, ModelSettings
from nexus_inference_adapters.vocabulary import CHAT
from nexus_mesh.core.errors import ConfigError
from nexus_mesh.settings.service import load
from nexus_operations import ANSWER_BEGINS, PER_MESSAGE, estimate
from support.adapter_host import HELLO as REQUEST
from support.adapter_host import adapter_bench, envelope
from support.fake_openai import FakeOpenAI
from support.fake_vllm import DEFAULT_MODEL, FakeVllm
from tokenizers import Tokenizer, models, pre_tokenizers

HELLO: dict[str, Any] = dict(REQUEST)
WORDS = 2
"""In HELLO."""


@pytest.fixture
def by_words(tmp_path: Path) -> Path:
    """A tokenizer that makes a token of every word."""
    tokenizer = Tokenizer(models.WordLevel({"hello": 0, "[?]": 1}, unk_token="[?]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


async def test_the_file_counts_for_a_backend_that_does_not(by_words: Path, fake_openai: FakeOpenAI) -> None:
    async with adapter_bench({"models": {"fake-model": ModelSettings(tokenizer=by_words)}}) as bench:
        backend = await bench.serve("openai_compatible", fake_openai.url)
        counted = await backend.count(envelope(backend, HELLO), HELLO)
    assert counted.tokens == WORDS + PER_MESSAGE + ANSWER_BEGINS
    assert (counted.method, counted.estimated) == ("tokenizer file", True)


async def test_the_backends_own_count_goes_first(by_words: Path, fake_vllm: FakeVllm) -> None:
    async with adapter_bench({"models": {DEFAULT_MODEL: ModelSettings(tokenizer=by_words)}}) as bench:
        backend = await bench.serve("openai_compatible", fake_vllm.url)
        counted = await backend.count(envelope(backend, HELLO), HELLO)
    assert (counted.method, counted.estimated) == ("vllm", False)


async def test_a_broken_file_leaves_the_plain_estimate(by_words: Path, fake_openai: FakeOpenAI) -> None:
    by_words.write_text("{half an ob")
    async with adapter_bench({"models": {"fake-model": ModelSettings(tokenizer=by_words)}}) as bench:
        backend = await bench.serve("openai_compatible", fake_openai.url)
        counted = await backend.count(envelope(backend, HELLO), HELLO)
    assert (counted.tokens, counted.method, counted.estimated) == (estimate(CHAT, HELLO), "estimate", True)


def _load(tmp_path: Path, file: Path) -> AdapterSettings:
    (tmp_path / "nexus.toml").write_text(f'[models."m"]\ntokenizer = "{file}"\n')
    return load(AdapterSettings, ["--home", str(tmp_path)])


def test_the_setting_is_read(tmp_path: Path, by_words: Path) -> None:
    assert _load(tmp_path, by_words).models["m"].tokenizer == by_words


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        _load(tmp_path, tmp_path / "no.json")


def test_without_the_library_the_setting_is_a_mistake_and_says_so(
    tmp_path: Path, by_words: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="package `tokenizers` must be installed"):
        _load(tmp_path, by_words)
