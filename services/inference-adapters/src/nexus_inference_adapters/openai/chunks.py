"""Turns a backend's stream events into normal chunks, and decides whether the stream has truly finished."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET
from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_operations import Form, spec_of

from nexus_inference_adapters.contract import from_event, malformed
from nexus_inference_adapters.openai.answers import (
    decoded,
    finish_reason,
    logprobs_of,
    text_of,
    usage_of,
)
from nexus_inference_adapters.openai.parameters import calls_one
from nexus_inference_adapters.openai.tool_calls import ToolCallPieces
from nexus_inference_adapters.openai.types import Chunk, ChunkChoice, Delta

__all__ = ["ChunkNormaliser"]

DECODER = msgspec.json.Decoder(Chunk)
HEAD = frozenset({
    "id", "object", "created", "model", "type", "choices", "usage", "system_fingerprint", "service_tier", "provider",
    "obfuscation", "prompt_filter_results", "x_groq", "timings", "timestamp",
})  # fmt: skip
"""What an event may have besides content."""
ENCODER = msgspec.json.Encoder()


class _Choice:
    """What is known of one choice so far."""

    __slots__ = ("begun", "finished", "tools")

    def __init__(self) -> None:
        self.begun = False
        self.finished = False
        self.tools: ToolCallPieces | None = None


class ChunkNormaliser:
    """The state of one stream. Feed it every event's data, then ask `finish` for the usage."""

    def __init__(self, operation: int, body: dict[str, Any]) -> None:
        spec = spec_of(operation)
        self._operation = operation
        self._normal = self._delta if spec.form is Form.MESSAGE else self._text
        self._choices: list[_Choice] = [_Choice() for _ in range(spec.expected(body))]
        self._open = len(self._choices)
        self._calls_one = calls_one(body)
        self._places: dict[int, int] = {}
        self._usage: inference_pb2.Usage | None = None
        self.counts = False
        """Whether it said anything of its usage, be it sense or not."""
        self.has_content = False
        """Whether anything but a role has come."""
        self.went_on = False
        """Whether content came after the end of a choice."""

    def feed(self, event: bytes) -> str | None:
        """The normal form of one event; None when it holds nothing to hand on. Raises what the backend reports."""
        chunk = decoded(DECODER, event)
        return None if _says_nothing(chunk, event) else self.take(chunk)

    def take(self, chunk: Chunk) -> str | None:
        if chunk.error:
            raise from_event({"error": chunk.error})
        if chunk.usage is not None:
            self.counts = True
            self._usage = usage_of(chunk.usage) or self._usage
        if chunk.choices is UNSET and chunk.usage is None and not self.finished:
            raise malformed("The backend sent an event without choices.")
        kept = [choice for choice in chunk.choices or () if self._normalise(choice)]
        return ENCODER.encode({"choices": kept}).decode() if kept else None

    def finish(self) -> inference_pb2.Usage | None:
        """The usage. Raises unless every choice has had its finish reason."""
        if self._open:
            missing = f"{self._open} of {len(self._choices)} choices have no finish reason"
            raise MeshError(Reason.BACKEND_LOST, f"The backend's stream ended early: {missing}.")
        return self._usage

    @property
    def saw_tools(self) -> bool:
        """Whether any choice has called a tool."""
        return any(choice.tools for choice in self._choices)

    @property
    def finished(self) -> bool:
        return not self._open

    def _normalise(self, choice: ChunkChoice) -> bool:
        """Changes a choice to its normal form; whether anything is left to hand on."""
        place = choice.index = self._place(choice.index)
        state = self._choices[place]
        choice.finish_reason = finish_reason(choice.finish_reason)
        choice.logprobs = logprobs_of(self._operation, choice.logprobs) or UNSET
        content = self._normal(choice, state)
        if state.finished:
            if content:
                self.went_on = True
                raise malformed("The backend went on after the end of its answer.")
            return False  # said twice
        says = content or choice.finish_reason is not None or choice.logprobs is not UNSET
        if choice.finish_reason:
            state.finished = True
            self._open -= 1
        self.has_content = self.has_content or says
        is_first, state.begun = not state.begun, True
        return is_first or says

    def _place(self, said: Any) -> int:
        """Which choice an index means. One that is out of range is as good a name as any other."""
        if len(self._choices) == 1 and type(said) is not int:
            return 0
        if type(said) is not int:
            raise malformed("The backend did not say which choice a piece of its answer belongs to.")
        if 0 <= said < len(self._choices):
            place = self._places.setdefault(said, said)
        else:
            taken = set(self._places.values())
            free = (place for place in range(len(self._choices)) if place not in taken)
            place = (
                self._places.setdefault(said, next(free, -1))
                if said not in self._places
                else self._places[said]
            )
        if place < 0 or (len(self._choices) == 1 and len(self._places) > 1):
            raise malformed("The backend sent more choices than were asked for.")
        return place

    def _text(self, choice: ChunkChoice, _: _Choice) -> bool:
        if choice.delta:
            raise malformed("The backend answered a text completion with the chunks of a chat.")
        choice.delta = UNSET
        choice.text = choice.text or ""
        return choice.text != ""

    def _delta(self, choice: ChunkChoice, state: _Choice) -> bool:
        if choice.text and not choice.delta:
            raise malformed("The backend answered a chat with the chunks of a text completion.")
        choice.text = UNSET
        delta = choice.delta = choice.delta or Delta()
        delta.content = text_of(delta.content)
        delta.role = UNSET if state.begun else "assistant"
        if delta.tool_calls:
            state.tools = state.tools or ToolCallPieces()
            pieces = state.tools.take(delta.tool_calls)
            delta.tool_calls = [each for each in pieces if each.index == 0] if self._calls_one else pieces
        if choice.finish_reason and state.tools is not None:
            state.tools.check()
        return _tidy(delta)


def _says_nothing(chunk: Chunk, event: bytes) -> bool:
    """A keep-alive, or the head of a chunk alone. What may have held content is judged elsewhere."""
    if chunk.choices is not UNSET or chunk.usage is not None or chunk.error:
        return False
    try:
        found = msgspec.json.decode(event)
    except (ValueError, RecursionError):
        return False
    return found.get("object") != "error" and HEAD.issuperset(found)


def _tidy(delta: Delta) -> bool:
    """Removes what says nothing and gives reasoning its one name; whether any content is left."""
    if delta.reasoning is not UNSET:
        delta.reasoning_content = delta.reasoning_content or delta.reasoning
        delta.reasoning = UNSET
    if not delta.content:
        delta.content = UNSET
    if not delta.reasoning_content:
        delta.reasoning_content = UNSET
    if not delta.refusal:
        delta.refusal = UNSET
    if not delta.tool_calls:
        delta.tool_calls = UNSET
    if not delta.function_call:
        delta.function_call = UNSET
    if not delta.audio:
        delta.audio = UNSET
    if not delta.annotations:
        delta.annotations = UNSET
    return (
        delta.content is not UNSET
        or delta.reasoning_content is not UNSET
        or delta.tool_calls is not UNSET
        or delta.refusal is not UNSET
        or delta.function_call is not UNSET
        or delta.audio is not UNSET
        or delta.annotations is not UNSET
    )
