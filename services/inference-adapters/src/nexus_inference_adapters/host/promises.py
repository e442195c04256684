"""What a request was promised and an answer shows: one table of promises and their checks, for every kind of backend.

Engines pass over what they do not know, and versions differ. So a promise is believed when the answer keeps it; one
that breaks it is UPSTREAM_MALFORMED, and what it takes is no longer believed of that model. That a prompt is read
whole is promised always, and judged by the engine's own count of it; a very long one by samples.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
from nexus.inference.v1 import inference_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_operations import SAMPLED, Form, estimate, sample, spec_of, tokens_of

from nexus_inference_adapters.contract import (
    Broken,
    Completed,
    Event,
    Finish,
    Json,
    JsonObject,
    Work,
)
from nexus_inference_adapters.openai import fits, forced_names

__all__ = ["SAMPLED", "Promises", "unread"]

FLOAT_BYTES = 4
UNREAD_TOKENS = 1000
UNREAD_SHARE = 4
"""A prompt of which so many tokens, and more than three of four, were not read by the engine's own count was cut."""
RUN = re.compile(r"(.)\1{7,}", re.DOTALL)
CUT_ENDS = frozenset({"length", "content_filter"})


@dataclass(slots=True)
class Said:
    """What an answer said in one choice."""

    text: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    logprobs: bool = False
    end: str = ""

    @property
    def content(self) -> str:
        return "".join(self.text)


Check = Callable[[JsonObject, Said], bool]
"""Whether a choice that ended by itself keeps the promise made for a request's body."""


@dataclass(frozen=True, slots=True)
class Promise:
    param: str
    made: Callable[[Work], bool]
    kept: Check
    broken: str
    capability: model_pb2.Capability | None


def _format(body: JsonObject) -> Json:
    wanted = body.get("response_format")
    return wanted.get("type") if isinstance(wanted, dict) else None


def _json_of(said: Said) -> Json:
    try:
        return msgspec.json.decode(said.content)
    except (ValueError, RecursionError):
        return None


def _is_object(_: JsonObject, said: Said) -> bool:
    return bool(said.calls) or isinstance(_json_of(said), dict)


def _fits_schema(body: JsonObject, said: Said) -> bool:
    if said.calls:
        return True
    try:
        value = msgspec.json.decode(said.content)
    except (ValueError, RecursionError):
        return False
    return fits(value, (body["response_format"].get("json_schema") or {}).get("schema"))


def _calls_tool(body: JsonObject, said: Said) -> bool:
    names = forced_names(body)
    return bool(said.calls) and (names is None or all(name in names for name in said.calls))


def _has_logprobs(_: JsonObject, said: Said) -> bool:
    return said.logprobs or not said.content


def _must_call(work: Work) -> bool:
    return bool(work.body.get("tool_choice")) and forced_names(work.body) is not None


PROMISES = (
    Promise("tool_choice", _must_call, _calls_tool,
            "The backend was asked to call a tool and did not.", model_pb2.CAPABILITY_TOOL_CHOICE),
    Promise("response_format", lambda work: _format(work.body) == "json_object", _is_object,
            "The backend was asked for a JSON object, and its answer is none.", model_pb2.CAPABILITY_JSON),
    Promise("response_format", lambda work: _format(work.body) == "json_schema", _fits_schema,
            "The backend's answer does not have the shape of the schema it was given.", model_pb2.CAPABILITY_JSON),
    Promise("logprobs", lambda work: type(work.body.get("logprobs")) in (bool, int) and work.body["logprobs"] > 0,
            _has_logprobs, "The backend was asked for log probabilities and sent none.", model_pb2.CAPABILITY_LOGPROBS),
)  # fmt: skip


SPOKEN = frozenset({Form.MESSAGE, Form.TEXT})
"""Forms of answers that promises are made about."""


class Promises:
    """Those made for one request. `context_tokens`: of its model, 0 = not known."""

    def __init__(self, work: Work, context_tokens: int) -> None:
        self._work = work
        self._context = context_tokens
        self._body = work.body
        self._said: dict[int, Said] = {}
        form = self._form = spec_of(work.operation).form
        self._made = [each for each in PROMISES if each.made(work)] if form in SPOKEN else []

    def check_whole(self, completed: Completed) -> None:
        """Raises Broken."""
        if self._form is Form.VECTOR:
            self._check_dimensions(completed.body)
            return
        if self._made:
            choices = msgspec.json.decode(completed.body)["choices"]
            self._check([_said_whole(choice) for choice in choices])
        self._check_read(completed.usage)

    def hear(self, event: Event) -> None:
        """The next event of a stream. Raises Broken in place of the good end of an answer that broke a promise."""
        if self._made and type(event) is list:
            for text in event:
                _listen(self._said, text)
        elif type(event) is Finish:
            self._check(list(self._said.values()))
            self._check_read(event.usage)

    def _check(self, choices: list[Said]) -> None:
        for said in choices:
            if said.end in CUT_ENDS:
                continue  # cut short, and says so
            for promise in self._made:
                if not promise.kept(self._body, said):
                    raise Broken(promise.broken, promise.param, promise.capability)

    def _check_dimensions(self, body: str) -> None:
        wanted = self._body.get("dimensions")
        if not isinstance(wanted, int):
            return
        for row in msgspec.json.decode(body)["data"]:
            vector = row["embedding"]
            length = len(base64.b64decode(vector)) // FLOAT_BYTES if isinstance(vector, str) else len(vector)
            if length != wanted:
                message = f"The backend was asked for {wanted} dimensions and sent {length}."
                raise Broken(message, "dimensions", None)

    def _check_read(self, usage: inference_pb2.Usage | None) -> None:
        """An engine that cut the prompt tells so in its count of it. Some count only what no cache held."""
        if usage is None or not usage.prompt_tokens:
            return
        read = usage.prompt_tokens + usage.cached_tokens
        about = unread(self._work.operation, self._body, read)
        if not about:
            return
        if self._context and about * 2 < self._context:
            return  # it would have fitted: so it is the counting that differs
        raise MeshError(
            Reason.CONTEXT_LENGTH,
            f"The backend read only {read} tokens of a prompt of about {about}: it cut off the rest without saying so.",
            metadata={"prompt_tokens": str(about), "context_tokens": str(self._context or read)},
        )


def _said_whole(choice: JsonObject) -> Said:
    message = choice.get("message") or {}
    calls = [call["function"]["name"] for call in message.get("tool_calls") or () if call.get("function")]
    text = message.get("content") or choice.get("text") or ""
    return Said([text], calls, bool(choice.get("logprobs")), choice.get("finish_reason") or "")


def _listen(said: dict[int, Said], text: str) -> None:
    for choice in msgspec.json.decode(text)["choices"]:
        one = said.setdefault(choice["index"], Said())
        delta = choice.get("delta") or {}
        one.text.append(delta.get("content") or choice.get("text") or "")
        one.calls += [
            call["function"]["name"]
            for call in delta.get("tool_calls") or ()
            if (call.get("function") or {}).get("name")
        ]
        one.logprobs = one.logprobs or bool(choice.get("logprobs"))
        one.end = choice.get("finish_reason") or one.end


def unread(operation: int, body: JsonObject, read: int) -> int:
    """About how many tokens the prompt has at least, when an engine that read so many cut it; 0 = it did not.

    At least: without what templates may leave out, and long runs of one character, which are few tokens.
    """
    texts: list[str] = []

    def gather(text: str) -> int:
        texts.append(text)
        return 0

    others = estimate(operation, _surely_read(operation, body), gather)
    if not _is_cut(2 * sum(map(len, texts)) + others, read):
        return 0  # no character is more than two tokens
    whole = "".join(texts)
    seen = sample(whole)
    for text in (seen, RUN.sub(r"\1", seen)):
        about = tokens_of(text) * len(whole) // max(1, len(seen)) + others
        if not _is_cut(about, read):
            return 0
    return about


def _is_cut(about: int, read: int) -> bool:
    return about > UNREAD_TOKENS and about - read > UNREAD_TOKENS and read * UNREAD_SHARE < about


def _surely_read(operation: int, body: JsonObject) -> JsonObject:
    messages = body.get("messages")
    if spec_of(operation).form is not Form.MESSAGE or not isinstance(messages, list):
        return body
    return {"messages": [_spoken(each) for each in messages if _counts(each)]}


def _counts(message: Json) -> bool:
    return isinstance(message, dict) and message.get("role") in ("system", "developer", "user", "tool")


def _spoken(message: JsonObject) -> JsonObject:
    content = message.get("content")
    if isinstance(content, list):
        content = [part for part in content if isinstance(part, dict) and part.get("type") == "text"]
    return {"content": content}
