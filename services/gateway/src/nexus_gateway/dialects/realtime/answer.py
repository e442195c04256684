"""One response as it is made: what comes of the models becomes the events of OpenAI's Realtime API, in order."""

from __future__ import annotations

import binascii
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from nexus_mesh.core import JsonObject, MeshError

from nexus_gateway.dialects.chain import Link
from nexus_gateway.dialects.errors import error_object
from nexus_gateway.dialects.realtime.config import Settings
from nexus_gateway.dialects.realtime.conversation import Conversation, Item, Part, messages
from nexus_gateway.dialects.realtime.wire import NewId, bad
from nexus_gateway.dialects.sentences import Sentences, is_spoken

__all__ = ["Answer", "Usage"]

Emit = Callable[..., None]
Status = Literal["in_progress", "completed", "cancelled", "incomplete", "failed"]
INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens."""

    read: int
    written: int
    cached: int = 0

    @property
    def wire(self) -> JsonObject:
        return {
            "total_tokens": self.read + self.written,
            "input_tokens": self.read,
            "output_tokens": self.written,
            "input_token_details": {
                "text_tokens": self.read,
                "audio_tokens": 0,
                "cached_tokens": self.cached,
            },
            "output_token_details": {"text_tokens": self.written, "audio_tokens": 0},
        }


@dataclass(slots=True)
class _Call:
    """A function that the model calls, by its number in the chat's answer."""

    item: Item
    output_index: int


@dataclass(slots=True)
class Answer:
    """Give it what comes; `emit(type, **fields)` tells, and `say(text)` has a sentence spoken: one at a time.

    `outside`: whether it is no part of the conversation.
    """

    id: str
    settings: Settings
    conversation: Conversation
    emit: Emit
    say: Callable[[str], None]
    make_id: NewId
    conversation_id: str | None
    metadata: dict[str, str] | None = None
    input: list[Item] | None = None
    status: Status = "in_progress"
    asked: bool = False
    """Whether the chat model has been asked."""
    links: list[Link] = field(default_factory=list[Link])
    _details: JsonObject | None = None
    _output: list[Item] = field(default_factory=list[Item])
    _message: Item | None = None
    _calls: dict[int, _Call] = field(default_factory=dict[int, _Call])
    _sentences: Sentences = field(default_factory=Sentences)
    _waiting: deque[str] = field(default_factory=deque[str])
    _speaking: str | None = None
    _sounded: bool = False
    """Whether any of the sentence that is being spoken has come."""
    _finish: str | None = None
    _written: bool = False
    _usage: Usage | None = None

    @property
    def ended(self) -> bool:
        return self.status != "in_progress"

    def begin(self) -> None:
        self.emit("response.created", response=self.wire)

    @property
    def wire(self) -> JsonObject:
        settings = self.settings
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": self.status,
            "status_details": self._details,
            "output": [item.wire for item in self._output],
            "conversation_id": self.conversation_id,
            "output_modalities": [*settings.modalities],
            "max_output_tokens": "inf" if settings.most_tokens is None else settings.most_tokens,
            "audio": {"output": settings.output_wire} if settings.speaks else None,
            "usage": None if self._usage is None else self._usage.wire,
            "metadata": self.metadata,
            "nexus": {
                "chain": [
                    {
                        "operation": link.operation,
                        "model": link.model,
                        "backend": link.backend,
                        "zone": link.zone,
                    }
                    for link in self.links
                ]
            },
        }

    def question(self) -> JsonObject:
        """The chat to ask. Raises INVALID_REQUEST when nothing was said."""
        settings = self.settings
        asked = messages(self.conversation if self.input is None else self.input, settings.instructions)
        if not any(message["role"] != "system" for message in asked) and not settings.instructions:
            raise bad("There is nothing to answer: no words are in the conversation.", "response")
        body: JsonObject = {"model": settings.model, "messages": asked}
        if settings.tools:
            body["tools"] = [
                {"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}}
                for tool in settings.tools
            ]
            body["tool_choice"] = _choice(settings.tool_choice)
            if settings.parallel_tool_calls is not None:
                body["parallel_tool_calls"] = settings.parallel_tool_calls
        if settings.most_tokens is not None:
            body["max_completion_tokens"] = settings.most_tokens
        if settings.temperature is not None:
            body["temperature"] = settings.temperature
        return body

    def link(self, link: Link) -> None:
        """Somebody works for it."""
        if link not in self.links:
            self.links.append(link)

    # What the chat model writes

    def write(self, choice: JsonObject) -> None:
        """One choice of a chunk."""
        delta: JsonObject = choice.get("delta") or {}
        if text := delta.get("content"):
            self._write(text)
        for call in delta.get("tool_calls") or ():
            self._call(call)
        self._finish = choice.get("finish_reason") or self._finish

    def written(self, usage: Usage | None) -> None:
        """All of it has come."""
        self._usage, self._written = usage, True
        if self.settings.speaks:
            self._speak([self._sentences.rest()])
        self._end_if_done()

    def _write(self, text: str) -> None:
        if self._message is None:
            self._begin_message()
        if self.settings.speaks:
            self._speak(self._sentences.feed(text))
        else:
            self._part.text += text
            self._emit_part("response.output_text.delta", delta=text)

    def _begin_message(self) -> None:
        kind = "output_audio" if self.settings.speaks else "output_text"
        self._message = Item(self.make_id("item"), "message", "assistant", "in_progress")
        self._add(self._message)
        part = Part(kind, transcript="" if self.settings.speaks else None, form=self.settings.output)
        self._message.content.append(part)
        self._emit_part("response.content_part.added", part=_bare(part))

    @property
    def _part(self) -> Part:
        assert self._message is not None  # noqa: S101 - it has begun
        return self._message.content[0]

    def _add(self, item: Item) -> int:
        index = len(self._output)
        self._output.append(item)
        self.emit("response.output_item.added", response_id=self.id, output_index=index, item=item.wire)
        if self.conversation_id is not None:
            before = self.conversation.add(item)
            self.emit("conversation.item.added", previous_item_id=before, item=item.wire)
        return index

    def _call(self, delta: JsonObject) -> None:
        number = int(delta.get("index", 0))
        told: JsonObject = delta.get("function") or {}
        call = self._calls.get(number)
        if call is None:
            item = Item(
                self.make_id("item"),
                "function_call",
                status="in_progress",
                call_id=delta.get("id") or self.make_id("call"),
                name=told.get("name") or "",
            )
            call = self._calls[number] = _Call(item, self._add(item))
        if arguments := told.get("arguments"):
            call.item.text += arguments
            self._emit_call(call, "response.function_call_arguments.delta", delta=arguments)

    # What is spoken of it

    def _speak(self, sentences: list[str]) -> None:
        self._waiting.extend(sentence for sentence in sentences if sentence)
        self._next()

    def _next(self) -> None:
        """The next sentence. What has no words in it is not spoken."""
        while self._speaking is None and self._waiting:
            sentence = self._waiting.popleft()
            if is_spoken(sentence):
                self._speaking, self._sounded = sentence, False
                self.say(sentence)
            else:
                self._tell(sentence)

    def _tell(self, words: str) -> None:
        part = self._part
        part.transcript = (part.transcript or "") + words
        part.spans.append((words, 0))
        self._emit_part("response.output_audio_transcript.delta", delta=words)

    def sound(self, data: bytes) -> None:
        """Some of the sentence that is being spoken, as samples of PCM. Its words are told with its first sound."""
        if self._speaking is None:
            return
        if not self._sounded:
            self._sounded = True
            self._tell(self._speaking)
        made = self.settings.output.of_pcm(data)
        part = self._part
        words, size = part.spans[-1]
        part.spans[-1] = (words, size + len(made))
        self._emit_part(
            "response.output_audio.delta", delta=binascii.b2a_base64(made, newline=False).decode()
        )

    def spoken(self) -> None:
        """The sentence is spoken whole."""
        if self._speaking is not None and not self._sounded:
            self._tell(self._speaking)
        self._speaking = None
        self._next()
        self._end_if_done()

    # How it ends

    def _end_if_done(self) -> None:
        if not self._written or self._speaking is not None or self._waiting or self.ended:
            return
        if reason := INCOMPLETE.get(self._finish or ""):
            self._end("incomplete", {"type": "incomplete", "reason": reason})
        else:
            self._end("completed", None)

    def cancel(self, reason: Literal["client_cancelled", "turn_detected"]) -> None:
        self._end("cancelled", {"type": "cancelled", "reason": reason})

    def fail(self, error: MeshError) -> None:
        told = error_object(error)
        self._end(
            "failed",
            {
                "type": "failed",
                "error": {"type": told["type"], "code": told["code"], "message": told["message"]},
            },
        )

    def _end(self, status: Status, details: JsonObject | None) -> None:
        """What was told is what it has said: words that nobody heard are no part of it."""
        self.status, self._details = status, details
        self._waiting.clear()
        self._speaking = None
        whole = "completed" if status == "completed" else "incomplete"
        if self._message is not None:
            self._end_message(whole)
        for call in self._calls.values():
            self._emit_call(
                call, "response.function_call_arguments.done", name=call.item.name, arguments=call.item.text
            )
            self._end_item(call.item, whole)
        self.emit("response.done", response=self.wire)

    def _end_message(self, status: str) -> None:
        part = self._part
        if part.is_sound:
            self._emit_part("response.output_audio.done")
            self._emit_part("response.output_audio_transcript.done", transcript=part.transcript)
        else:
            self._emit_part("response.output_text.done", text=part.text)
        self._emit_part("response.content_part.done", part=_bare(part))
        assert self._message is not None  # noqa: S101 - it has a part
        self._end_item(self._message, status)

    def _end_item(self, item: Item, status: str) -> None:
        item.status = status
        index = self._output.index(item)
        self.emit("response.output_item.done", response_id=self.id, output_index=index, item=item.wire)
        if self.conversation_id is not None and self.conversation.has(item.id):
            self.emit("conversation.item.done", item=item.wire)

    def _emit_part(self, kind: str, **fields: Any) -> None:
        assert self._message is not None  # noqa: S101 - it has begun
        self.emit(
            kind,
            response_id=self.id,
            item_id=self._message.id,
            output_index=self._output.index(self._message),
            content_index=0,
            **fields,
        )

    def _emit_call(self, call: _Call, kind: str, **fields: Any) -> None:
        self.emit(
            kind,
            response_id=self.id,
            item_id=call.item.id,
            output_index=call.output_index,
            call_id=call.item.call_id,
            **fields,
        )


def _bare(part: Part) -> JsonObject:
    """As an event of a part has it."""
    if part.is_sound:
        return {"type": "audio", "transcript": part.transcript}
    return {"type": "text", "text": part.text}


def _choice(wanted: str | JsonObject) -> str | JsonObject:
    if isinstance(wanted, str):
        return wanted
    return {"type": "function", "function": {"name": wanted.get("name")}}
