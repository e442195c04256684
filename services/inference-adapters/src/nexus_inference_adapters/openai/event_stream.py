"""From bytes cut anywhere to normal chunks, and whether a stream has truly ended."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import UNSET
from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_operations import Form, spec_of

from nexus_inference_adapters.contract import Answer, Progress, from_event, malformed
from nexus_inference_adapters.openai.answers import (
    decoded,
    finish_reason,
    logprobs_of,
    text_of,
    tidy,
    usage_of,
)
from nexus_inference_adapters.openai.requests import calls_one
from nexus_inference_adapters.openai.tool_calls import ToolCallPieces
from nexus_inference_adapters.openai.types import Chunk, ChunkChoice, Delta

__all__ = ["ChunkNormaliser", "Comment", "EventStream", "LineReader", "SseReader"]

DONE = b"[DONE]"
FIELDS = (b"data", b"event", b"id", b"retry", b":")
MARK = b"\xef\xbb\xbf"
MAX_LINE_BYTES = 1024 * 1024
DECODER = msgspec.json.Decoder(Chunk)
HEAD = frozenset({
    "id", "object", "created", "model", "type", "choices", "usage", "system_fingerprint", "service_tier", "provider",
    "obfuscation", "prompt_filter_results", "x_groq", "timings", "timestamp",
})  # fmt: skip
"""What an event may have besides content."""
ENCODER = msgspec.json.Encoder()


class LineReader:
    """Splits bytes into lines ended by LF or CRLF. A character cut in two is whole again in its line."""

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._rest = b""
        self._limit = limit

    def feed(self, data: bytes) -> list[bytes]:
        """The lines completed by `data`, without their ends. Raises UPSTREAM_MALFORMED past the limit."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > self._limit or any(len(line) > self._limit for line in lines):
            raise MeshError(Reason.UPSTREAM_MALFORMED, "The backend sent a line longer than 1 MiB.")
        return [line[:-1] if line.endswith(b"\r") else line for line in lines]

    def rest(self) -> bytes:
        """What came after the last line end."""
        return self._rest


class Comment(bytes):
    """The text of a comment line: a keep-alive."""

    __slots__ = ()


class SseReader:
    """Yields the data of whole events, and comments, in order. A half event at the end is never yielded."""

    def __init__(self) -> None:
        self._lines = LineReader()
        self._begun = False
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The events that `data` completes. Raises UPSTREAM_MALFORMED for an event beyond 1 MiB."""
        for line in self._lines.feed(data):
            if not self._begun:
                self._begun, line = True, line.removeprefix(MARK)  # noqa: PLW2901 - as the standard has it
            if not line:
                if self._data:
                    event = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                    self._data, self._size = [], 0
                    yield event
            elif line.startswith(b"data:"):
                self._add(line[6:] if line.startswith(b"data: ") else line[5:])
            elif line.startswith(b":"):
                yield Comment(line[1:].strip())
            elif line.startswith((b"event:", b"id:", b"retry:", b"data")):
                continue
            else:
                raise MeshError(
                    Reason.UPSTREAM_MALFORMED, "The backend sent something that is not an event stream."
                )

    def _add(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MAX_LINE_BYTES:
            raise MeshError(Reason.UPSTREAM_MALFORMED, "The backend sent an event longer than 1 MiB.")
        self._data.append(data)

    def incomplete(self) -> bool:
        """Whether the bytes so far end inside an event. Raises UPSTREAM_MALFORMED when it could never become one."""
        rest = self._lines.rest().strip()
        if rest and not rest.startswith(FIELDS) and not any(field.startswith(rest) for field in FIELDS):
            raise MeshError(
                Reason.UPSTREAM_MALFORMED, "The backend sent something that is not an event stream."
            )
        return bool(self._data) or bool(rest)


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
        return tidy(delta)


def _says_nothing(chunk: Chunk, event: bytes) -> bool:
    """A keep-alive, or the head of a chunk alone. What may have held content is judged elsewhere."""
    if chunk.choices is not UNSET or chunk.usage is not None or chunk.error:
        return False
    try:
        found = msgspec.json.decode(event)
    except (ValueError, RecursionError):
        return False
    return found.get("object") != "error" and HEAD.issuperset(found)


class EventStream:
    """An SSE answer on its way to normal chunks: what arrived together goes on together."""

    def __init__(self, chunks: ChunkNormaliser) -> None:
        self.chunks = chunks
        self.done = False
        """Whether the backend said [DONE]: it does so after errors too."""
        self.failure: MeshError | None = None
        """What a part ended with that had content before it: the content goes out first."""
        self._reader = SseReader()

    async def next_part(self, answer: Answer) -> bytes:
        """The next bytes; none when they end, and when they break off after every choice has had its end."""
        try:
            return await answer.part()
        except MeshError:
            if not self.chunks.finished:
                raise
            self.done = True
            return b""

    def take(self, part: bytes) -> list[str] | Progress | None:
        ready: list[str] = []
        try:
            return self._take(part, ready)
        except MeshError as error:
            if self.chunks.finished and not self.chunks.went_on:
                self.done = True  # the answer is whole, whatever came behind it
                return ready or None
            if not ready:
                raise
            self.failure = error
            return ready

    def _take(self, part: bytes, ready: list[str]) -> list[str] | Progress | None:
        comment: Comment | None = None
        for event in self._reader.feed(part):
            if type(event) is Comment:
                comment = event
            elif event.strip() == DONE:
                self.done = True
                break
            elif (chunk := self.chunks.feed(event)) is not None:
                ready.append(chunk)
        return ready or (None if comment is None else _progress(comment))

    def finish(self) -> inference_pb2.Usage | None:
        """The usage. Raises UPSTREAM_MALFORMED or BACKEND_LOST when the stream only looks finished."""
        if self.done and not self.chunks.finished:
            raise malformed("The backend ended its stream without a finish reason.")
        if not self.done and not self.chunks.finished and self._reader.incomplete():
            raise MeshError(Reason.BACKEND_LOST, "The backend's stream ended in the middle of an event.")
        return self.chunks.finish()


def _progress(comment: bytes) -> Progress:
    """mlx-lm's keep-alives count prompt tokens: `keepalive 512/4096`; others say nothing of use."""
    counted = re.fullmatch(rb"keepalive (\d{1,12})/(\d{1,12})", comment)
    return Progress("prompt", int(counted[1]), int(counted[2])) if counted else Progress("waiting")
