"""The inside of a fake Ollama: models, memory, queue, and what it generates (one word is one token)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from support.fake_ollama_models import (
    DEFAULT_MODELS,
    FOREVER,
    Json,
    OllamaModel,
    canonical,
    keep_alive_seconds,
)
from support.fake_openai_script import split_words
from support.schema_instance import instance_of

BROKEN = "model runner has unexpectedly stopped, this may be due to resource limitations"
TOO_LONG = "the input length exceeds the context length"
VERSION = "0.32.15"
LAUNCH = ("num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread")
"""Options a runner is started with, beside num_ctx: another value of one starts another runner."""
PROSE = "I would rather talk about it."
QUEUE_FULL = "server busy, please try again.  maximum pending requests exceeded"
UNLIMITED = 1_000_000
FAR_FUTURE = timedelta(days=365 * 100)


class OllamaError(Exception):
    """Answered as `{"error": message}` with `status`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass
class Loaded:
    """A model in memory, until `expires` (time.monotonic)."""

    model: OllamaModel
    num_ctx: int
    expires: float
    launch: tuple[Any, ...] = ()

    def row(self) -> Json:
        """An entry of /api/ps."""
        left = FAR_FUTURE if self.expires == FOREVER else timedelta(seconds=self.expires - time.monotonic())
        return {
            "name": self.model.name,
            "model": self.model.name,
            "size": self.model.size,
            "digest": self.model.digest,
            "details": self.model.details(),
            "expires_at": (datetime.now(UTC) + left).isoformat(),
            "size_vram": self.model.size,
            "context_length": self.num_ctx,
        }


@dataclass(frozen=True)
class Run:
    """One generation as the engine was given it: what arrived after all the losses on the way."""

    model: OllamaModel
    options: Mapping[str, Any]
    messages: list[Json]
    prompt_tokens: int
    thought: list[str]
    words: list[str]
    done_reason: str

    @property
    def eval_count(self) -> int:
        return len(self.thought) + len(self.words)


class OllamaEngine:
    """Attributes are settings that a test may change at any time, or records of what has happened.

    answer, thought, tool_calls (name, arguments object), tool_call_ids: what it generates;
    interval, load_seconds: how long words and loads take; fail_after: words before the runner dies;
    unload_seconds: how long a model stays in memory after the answer that it is being unloaded;
    pull_seconds: how long a pull takes between its first line and the next;
    pull_error: what it says of a pull that fails;
    on_load: called when a model has come into memory;
    num_parallel, max_queue, default_num_ctx, cloud: as the OLLAMA_* variables;
    version: what it says it is; keeps_word: `format: "json"` holds the answer (False: as since 0.30 for models
    without a Go template); keeps_schema: a schema in `format` does;
    content_in_done: the last word comes in the chunk that says `done: true`;
    loads: (model, num_ctx) of each load; runs: what the engine was given; truncated: silently cut prompts.
    """

    def __init__(self, models: Iterable[OllamaModel] = DEFAULT_MODELS) -> None:
        self.models = {model.name: model for model in models}
        self.pullable: dict[str, OllamaModel] = {}
        self.answer = "hello from ollama"
        self.thought = ""
        self.tool_calls: list[tuple[str, Json]] = []
        self.tool_call_ids = False
        self.version = VERSION
        self.keeps_word = True
        self.keeps_schema = True
        self.interval = 0.0
        self.load_seconds = 0.0
        self.unload_seconds = 0.0
        self.pull_seconds = 0.0
        self.pull_error = "pull model manifest: file does not exist"
        self.on_load: Callable[[], None] = lambda: None
        self.fail_after: int | None = None
        self.num_parallel = 1
        self.max_queue = 512
        self.default_num_ctx = 4096
        self.cloud = True
        self.content_in_done = True
        self.loads: list[tuple[str, int]] = []
        self.runs: list[Run] = []
        self.truncated = 0
        self.busy = 0
        self.queued = 0
        self._loaded: dict[str, Loaded] = {}
        self._freed = asyncio.Condition()

    def find(self, name: Any, *capabilities: tuple[str, str]) -> OllamaModel:
        """The model of that name if it has every (capability, word for it in the error)."""
        if not name:
            raise OllamaError(400, "model is required")
        model = self.models.get(canonical(str(name)))
        if model is None:
            raise OllamaError(404, f"model '{name}' not found")
        if model.remote_host and not self.cloud:
            raise OllamaError(403, "ollama cloud is disabled: remote inference is unavailable")
        for capability, word in capabilities:
            if capability not in model.capabilities:
                raise OllamaError(400, f'"{name}" does not support {word}')
        return model

    @property
    def loaded(self) -> list[Loaded]:
        now = time.monotonic()
        self._loaded = {name: entry for name, entry in self._loaded.items() if entry.expires > now}
        return list(self._loaded.values())

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for one of `num_parallel` places; 503 when `max_queue` others wait already."""
        if self.busy >= self.num_parallel and self.queued >= self.max_queue:
            raise OllamaError(503, QUEUE_FULL)
        self.queued += 1
        try:
            async with self._freed:
                await self._freed.wait_for(lambda: self.busy < self.num_parallel)
                self.busy += 1
        finally:
            self.queued -= 1
        try:
            yield
        finally:
            self.busy -= 1
            async with self._freed:
                self._freed.notify_all()  # a woken waiter may be cancelled before it runs

    async def load(
        self, model: OllamaModel, options: Mapping[str, Any], keep_alive: Any, shift: bool | None = None
    ) -> Loaded:
        """Have `model` in memory as wanted: another launch option, `shift` among them, means loading anew."""
        try:
            seconds = keep_alive_seconds(keep_alive)
        except ValueError as error:
            raise OllamaError(400, str(error)) from None
        wanted = options.get("num_ctx") or model.num_ctx or self.default_num_ctx
        num_ctx = min(wanted, model.context_length)
        launch = (shift is not False, *(options.get(name) for name in LAUNCH))
        held = next((entry for entry in self.loaded if entry.model == model), None)
        if held is None or held.num_ctx != num_ctx or held.launch != launch:
            await asyncio.sleep(self.load_seconds)
            self.loads.append((model.name, num_ctx))
        self._loaded[model.name] = Loaded(model, num_ctx, time.monotonic() + seconds, launch)
        self.on_load()
        return self._loaded[model.name]

    def unload(self, model: OllamaModel) -> None:
        """Its memory is free a moment later."""
        if (held := self._loaded.get(model.name)) is not None:
            held.expires = min(held.expires, time.monotonic() + self.unload_seconds)

    def fit(self, tokens: int, num_ctx: int, truncate: bool) -> int:
        """The prompt tokens used: all, or silently only `num_ctx`, or an error without `truncate`."""
        if tokens <= num_ctx:
            return tokens
        if not truncate:
            raise OllamaError(400, TOO_LONG)
        self.truncated += 1
        return num_ctx

    def plan(self, loaded: Loaded, body: Mapping[str, Any], messages: list[Json], tokens: int) -> Run:
        """The whole answer for a native request body whose prompt has `tokens` tokens."""
        options = body.get("options") or {}
        prompt_tokens = self.fit(tokens, loaded.num_ctx, body.get("truncate", True))
        thinks = "thinking" in loaded.model.capabilities and body.get("think") is not False
        thought = split_words(self.thought) if thinks and self.thought else []
        answer = self._held(body.get("format"))
        words = split_words(answer) if answer else []
        limit = word_limit(options, body.get("shift", True), loaded.num_ctx - prompt_tokens)
        reason = "length" if len(thought) + len(words) > limit else "stop"
        thought, words = thought[:limit], words[: max(0, limit - len(thought))]
        run = Run(loaded.model, options, messages, prompt_tokens, thought, words, reason)
        self.runs.append(run)
        return run

    def _held(self, wanted: Any) -> str:
        """What it says, held to a format where it keeps one."""
        if isinstance(wanted, dict):
            try:
                return json.dumps(instance_of(wanted)) if self.keeps_schema else self.answer
            except ValueError as error:
                raise OllamaError(500, f"failed to parse grammar: {error}") from None
        if wanted == "json":
            return json.dumps({}) if self.keeps_word else PROSE
        return self.answer

    @property
    def gives_logprobs(self) -> bool:
        return tuple(int(part) for part in self.version.split(".")) >= (0, 12, 11)

    async def speak(self, run: Run) -> AsyncGenerator[tuple[str, str]]:
        """Pairs of ("thought" | "word", text); breaks with an OllamaError as `fail_after` says."""
        pairs = [*(("thought", text) for text in run.thought), *(("word", text) for text in run.words)]
        for position, pair in enumerate(pairs):
            if position == self.fail_after:
                raise OllamaError(500, BROKEN)
            if self.interval:
                await asyncio.sleep(self.interval)
            yield pair


def word_limit(options: Mapping[str, Any], shift: bool, room: int) -> int:
    """num_predict, and the room left in the context when it may not be shifted."""
    predict = options.get("num_predict", -1)
    limit = predict if predict >= 0 else UNLIMITED
    return limit if shift else min(limit, room)
