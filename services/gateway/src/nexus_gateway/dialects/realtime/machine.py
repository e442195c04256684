"""A session as a machine: events of its client and news of its calls go in, events for the client and calls come out.
It knows no socket, no clock and no model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from nexus_mesh.core import JsonObject, MeshError

from nexus_gateway.dialects.casting import NO_EARS, Parts
from nexus_gateway.dialects.chain import Heard, Link
from nexus_gateway.dialects.errors import error_object
from nexus_gateway.dialects.realtime.answer import Answer, Usage
from nexus_gateway.dialects.realtime.config import Settings
from nexus_gateway.dialects.realtime.conversation import Conversation, Item, Part, item_of
from nexus_gateway.dialects.realtime.sound import Format
from nexus_gateway.dialects.realtime.turns import Edge, Turns
from nexus_gateway.dialects.realtime.wire import (
    Append,
    CancelResponse,
    Clear,
    ClientEvent,
    Commit,
    CreateItem,
    CreateResponse,
    DeleteItem,
    GivenItem,
    ItemReference,
    NewId,
    ResponseWish,
    RetrieveItem,
    TruncateItem,
    UpdateSession,
    bad,
    decode,
    event_id_of,
    new_id,
)

__all__ = ["Chat", "Detect", "Forget", "Machine", "Out", "Send", "Speak", "Stop", "Transcribe"]

MOST_BUFFERED = 16 << 20
LEAST_MS = 100
"""Of sound in a turn that is committed."""
SPARE_MS = 1_000
"""Of silence that is kept before the point up to which the detector has heard, beside the padding."""


@dataclass(frozen=True, slots=True)
class Send:
    """To the client."""

    event: JsonObject


@dataclass(frozen=True, slots=True)
class Detect:
    """Find out where in it somebody speaks: Machine.detected(), in the order of the calls."""

    data: bytes
    form: Format


@dataclass(frozen=True, slots=True)
class Forget:
    """What comes to be detected from here on is another sound."""


@dataclass(frozen=True, slots=True)
class Transcribe:
    """Listen to a part of an item: Machine.heard() or unheard()."""

    item_id: str
    index: int
    model: str
    file: bytes
    language: str
    hint: str


@dataclass(frozen=True, slots=True)
class Chat:
    """Ask: Machine.wrote() for each chunk, then written(); or failed()."""

    answer_id: str
    body: JsonObject


@dataclass(frozen=True, slots=True)
class Speak:
    """Speak a sentence: Machine.sounded() for each piece, then spoken(); or failed()."""

    answer_id: str
    body: JsonObject


@dataclass(frozen=True, slots=True)
class Stop:
    """End all calls of a response at once, and hear no more of them."""

    answer_id: str


Out = Send | Detect | Forget | Transcribe | Chat | Speak | Stop


@dataclass(slots=True)
class _Buffer:
    """Sound that came and is no item yet. `start`: how many bytes came before its first."""

    data: bytearray = field(default_factory=bytearray)
    start: int = 0

    def take(self, begin: int, end: int) -> bytes:
        """The sound between two points; all up to the second leaves the buffer."""
        begin, end = max(begin, self.start), max(end, self.start)
        taken = bytes(self.data[begin - self.start : end - self.start])
        self.drop(end)
        return taken

    def drop(self, before: int) -> None:
        size = min(max(0, before - self.start), len(self.data))
        del self.data[:size]
        self.start += size

    @property
    def end(self) -> int:
        return self.start + len(self.data)


class Machine:
    """`look` tells what the caller may use now. After each method, `take()` has what came of it, in order."""

    def __init__(
        self, session_id: str, model: str, look: Callable[[], Parts], expires_at: int, make_id: NewId = new_id
    ) -> None:
        self._id = session_id
        self._look = look
        self._expires_at = expires_at
        self._make_id = make_id
        self._settings = Settings.first(model, look())
        self._conversation = Conversation()
        self._conversation_id = make_id("conv")
        self._buffer = _Buffer()
        self._turns: Turns | None = None
        self._turn_id = ""
        self._turn_from = 0
        self._answer: Answer | None = None
        self._unheard: set[tuple[str, int]] = set()
        self._then_answer: set[str] = set()
        """Items that are answered once they were heard."""
        self._heard_by: dict[str, Link] = {}
        self._out: list[Out] = []

    def take(self) -> list[Out]:
        out, self._out = self._out, []
        return out

    def begin(self) -> None:
        self._set_turns()
        self._emit("session.created", session=self._settings.wire(self._id, self._expires_at))

    @property
    def answering(self) -> bool:
        return self._answer is not None

    @property
    def size(self) -> int:
        """About how many bytes it keeps."""
        return len(self._buffer.data) + self._conversation.size

    # What the client says

    def receive(self, text: str) -> None:
        """An event of the client; what is wrong with it is told by an event `error`."""
        try:
            event = decode(text)
            HANDLERS[type(event)](self, event)
        except MeshError as error:
            self.tell(error, event_id_of(text))

    def tell(self, error: MeshError, event_id: str | None = None) -> None:
        """An event `error`. `event_id`: the client's, of the event that is at fault."""
        self._emit("error", error={**error_object(error), "event_id": event_id})

    def _update(self, event: UpdateSession) -> None:
        changed = self._settings.updated(event.session, self._look())
        if changed.input is not self._settings.input and self._buffer.data:
            raise bad(
                "Commit or clear the sound that was sent before its format changes.", "audio.input.format"
            )
        if changed.input is not self._settings.input:
            self._buffer = _Buffer()
        turns_changed = (changed.turns, changed.input) != (self._settings.turns, self._settings.input)
        self._settings = changed
        if turns_changed:
            self._set_turns()
        self._emit("session.updated", session=self._settings.wire(self._id, self._expires_at))

    def _set_turns(self) -> None:
        wanted, form = self._settings.turns, self._settings.input
        if self._turns is not None:
            self._out.append(Forget())
        self._turns = None
        if wanted is not None:
            self._buffer.drop(self._buffer.end)
            at_ms = form.milliseconds(self._buffer.end)
            self._turns = Turns(wanted.threshold, wanted.silence_duration_ms, at_ms)

    def _append(self, event: Append) -> None:
        form = self._settings.input
        if len(event.audio) % form.sample_bytes:
            raise bad("Sound of 16 bits comes in whole samples.", "audio")
        if len(self._buffer.data) + len(event.audio) > MOST_BUFFERED:
            raise bad("The buffer is full. Commit or clear it.", "audio", "input_audio_buffer_full")
        self._buffer.data += event.audio
        if self._turns is not None:
            self._out.append(Detect(event.audio, form))

    def _commit(self, _: Commit) -> None:
        form = self._settings.input
        if len(self._buffer.data) < LEAST_MS * form.bytes_per_ms:
            raise bad(
                f"The buffer holds {form.milliseconds(len(self._buffer.data))} ms of sound, and a turn has at least "
                f"{LEAST_MS} ms.",
                code="input_audio_buffer_commit_empty",
            )
        if not self._settings.ears:
            raise bad(NO_EARS)
        if self._turns is not None:
            self._turns.reset()
        self._commit_turn(self._make_id("item"), self._buffer.start, self._buffer.end)

    def _clear(self, _: Clear) -> None:
        self._buffer.drop(self._buffer.end)
        if self._turns is not None:
            self._turns.reset()
        self._emit("input_audio_buffer.cleared")

    def _create_item(self, event: CreateItem) -> None:
        item, sounds = item_of(event.item, self._make_id)
        if sounds and not self._settings.ears:
            raise bad(NO_EARS, "item.content")
        before = self._conversation.add(item, event.previous_item_id)
        self._emit("conversation.item.added", previous_item_id=before, item=item.wire)
        for index, sound in sounds:
            self._listen(item, index, sound)
        self._emit("conversation.item.done", previous_item_id=before, item=item.wire)

    def _delete_item(self, event: DeleteItem) -> None:
        self._conversation.remove(event.item_id)
        self._emit("conversation.item.deleted", item_id=event.item_id)

    def _retrieve_item(self, event: RetrieveItem) -> None:
        self._emit("conversation.item.retrieved", item=self._conversation.get(event.item_id).wire)

    def _truncate_item(self, event: TruncateItem) -> None:
        item = self._conversation.get(event.item_id)
        parts = item.content if item.role == "assistant" else []
        if not 0 <= event.content_index < len(parts) or not parts[event.content_index].spans:
            raise bad("Only what the model has spoken can be cut.", "item_id")
        if self._answer is not None and item.status == "in_progress":
            raise bad("Cancel the response before what it said is cut.", "item_id")
        part = parts[event.content_index]
        if not 0 <= event.audio_end_ms <= part.spoken_ms:
            raise bad(f"There are {part.spoken_ms} ms of sound.", "audio_end_ms")
        part.cut(event.audio_end_ms)
        self._emit(
            "conversation.item.truncated",
            item_id=item.id,
            content_index=event.content_index,
            audio_end_ms=event.audio_end_ms,
        )

    def _create_response(self, event: CreateResponse) -> None:
        self._respond(event.response or ResponseWish())

    def _cancel_response(self, event: CancelResponse) -> None:
        answer = self._answer
        if answer is None or event.response_id not in (None, answer.id):
            raise bad("No such response is under way.", "response_id", "response_cancel_not_active")
        self._stop(answer)
        answer.cancel("client_cancelled")

    # Turns

    def detected(self, probabilities: list[float]) -> None:
        """How likely each next window of the sound is speech."""
        for probability in probabilities:
            edge = self._turns.hear(probability) if self._turns is not None else None
            if edge is Edge.BEGINS:
                self._turn_begins()
            elif edge is Edge.ENDS:
                self._turn_ends()
        self._drop_silence()

    def undetected(self, error: MeshError) -> None:
        """Nobody finds out who speaks any more, until the session is set anew."""
        self._turns, self._settings = None, replace(self._settings, turns=None)
        self.tell(error)
        self._emit("session.updated", session=self._settings.wire(self._id, self._expires_at))

    def _turn_begins(self) -> None:
        turns, wanted, form = self._turns, self._settings.turns, self._settings.input
        assert turns is not None  # noqa: S101 - it has heard something
        assert wanted is not None  # noqa: S101 - so it was asked for
        began = max(0, turns.began_ms - wanted.prefix_padding_ms)
        self._turn_from = max(self._buffer.start, began * form.bytes_per_ms)
        self._turn_id = self._make_id("item")
        self._emit(
            "input_audio_buffer.speech_started",
            audio_start_ms=form.milliseconds(self._turn_from),
            item_id=self._turn_id,
        )
        if self._answer is not None and wanted.interrupt_response:
            answer = self._answer
            self._stop(answer)
            answer.cancel("turn_detected")

    def _turn_ends(self) -> None:
        turns, wanted, form = self._turns, self._settings.turns, self._settings.input
        assert turns is not None  # noqa: S101 - it has heard something
        assert wanted is not None  # noqa: S101 - so it was asked for
        end = min(turns.at_ms * form.bytes_per_ms, self._buffer.end)
        self._emit(
            "input_audio_buffer.speech_stopped", audio_end_ms=form.milliseconds(end), item_id=self._turn_id
        )
        if wanted.create_response:
            self._then_answer.add(self._turn_id)
        self._commit_turn(self._turn_id, self._turn_from, end)

    def _drop_silence(self) -> None:
        turns, wanted = self._turns, self._settings.turns
        if turns is None or wanted is None or turns.speaking:
            return
        kept_ms = max(0, turns.at_ms - wanted.prefix_padding_ms - SPARE_MS)
        self._buffer.drop(kept_ms * self._settings.input.bytes_per_ms)

    def _commit_turn(self, item_id: str, begin: int, end: int) -> None:
        sound = self._buffer.take(begin, end)
        item = Item(item_id, "message", "user", content=[Part("input_audio")])
        before = self._conversation.last
        self._emit("input_audio_buffer.committed", previous_item_id=before, item_id=item_id)
        self._conversation.add(item)
        self._emit("conversation.item.added", previous_item_id=before, item=item.wire)
        self._listen(item, 0, sound)
        self._emit("conversation.item.done", previous_item_id=before, item=item.wire)

    # What was said

    def _listen(self, item: Item, index: int, sound: bytes) -> None:
        settings = self._settings
        self._unheard.add((item.id, index))
        self._out.append(
            Transcribe(
                item.id, index, settings.ears, settings.input.file(sound), settings.language, settings.hint
            )
        )

    def heard(self, item_id: str, index: int, heard: Heard) -> None:
        """The words of a part."""
        self._unheard.discard((item_id, index))
        self._heard_by[item_id] = heard.link
        if self._conversation.has(item_id):
            self._conversation.get(item_id).content[index].transcript = heard.text
        if self._settings.tells_words:
            self._emit(
                "conversation.item.input_audio_transcription.completed",
                item_id=item_id,
                content_index=index,
                transcript=heard.text,
                usage={"type": "duration", "seconds": heard.seconds},
            )
        if item_id in self._then_answer:
            self._then_answer.discard(item_id)
            # Noise is no turn: there is nothing to answer.
            if heard.text and self._answer is None:
                self._respond(ResponseWish())
        self._ask()

    def unheard(self, item_id: str, index: int, error: MeshError) -> None:
        """A part could not be listened to."""
        self._unheard.discard((item_id, index))
        self._then_answer.discard(item_id)
        told = error_object(error)
        self._emit(
            "conversation.item.input_audio_transcription.failed",
            item_id=item_id,
            content_index=index,
            error={key: told[key] for key in ("type", "code", "message", "param")},
        )
        answer = self._answer
        if answer is not None and not answer.asked:
            self.failed(answer.id, error)
        else:
            self.tell(error)

    # Responses

    def _respond(self, wish: ResponseWish) -> None:
        if self._answer is not None:
            raise bad(
                f"The response {self._answer.id} is under way. Wait for response.done, or send response.cancel.",
                code="conversation_already_has_active_response",
            )
        if wish.conversation not in ("auto", "none"):
            raise bad("It is 'auto' or 'none'.", "response.conversation")
        settings = self._settings.for_response(wish, self._look())
        given = None if wish.input is None else [self._input(each) for each in wish.input]
        answer_id = self._make_id("resp")
        self._answer = Answer(
            answer_id,
            settings,
            self._conversation,
            self._emit,
            lambda text: self._say(answer_id, settings, text),
            self._make_id,
            self._conversation_id if wish.conversation == "auto" else None,
            wish.metadata,
            given,
        )
        self._answer.begin()
        self._ask()

    def _input(self, given: JsonObject) -> Item:
        try:
            if given.get("type") == "item_reference":
                return self._conversation.get(msgspec.convert(given, ItemReference).id)
            item, sounds = item_of(msgspec.convert(given, GivenItem), self._make_id)
        except msgspec.ValidationError as error:
            raise bad(f"An item of the input cannot be read: {error}.", "response.input") from None
        if sounds:
            raise bad("Sound is no part of a response's input here: create an item of it.", "response.input")
        return item

    def _ask(self) -> None:
        """Asks the chat model once all that was said has been heard."""
        answer = self._answer
        if answer is None or answer.asked or self._unheard:
            return
        answer.asked = True
        for item in self._conversation if answer.input is None else answer.input:
            if link := self._heard_by.pop(item.id, None):
                answer.link(link)
        try:
            body = answer.question()
        except MeshError as error:
            self.failed(answer.id, error)
            return
        self._out.append(Chat(answer.id, body))

    def _say(self, answer_id: str, settings: Settings, text: str) -> None:
        speaker = settings.speaker
        assert speaker is not None  # noqa: S101 - the settings were checked
        body: JsonObject = {
            "model": speaker.model,
            "input": text.strip(),
            "voice": speaker.voice or "default",
        }
        if settings.speed != 1.0:
            body["speed"] = settings.speed
        self._out.append(Speak(answer_id, body))

    def served(self, answer_id: str, link: Link) -> None:
        """Who works for a response."""
        if (answer := self._active(answer_id)) is not None:
            answer.link(link)

    def wrote(self, answer_id: str, choice: JsonObject) -> None:
        """A choice of a chunk of the chat."""
        if (answer := self._active(answer_id)) is not None:
            try:
                answer.write(choice)
            except MeshError as error:
                self.failed(answer_id, error)

    def written(self, answer_id: str, usage: Usage | None) -> None:
        """The chat has ended well."""
        if (answer := self._active(answer_id)) is not None:
            answer.written(usage)
            self._settle()

    def sounded(self, answer_id: str, data: bytes) -> None:
        """Some sound of the sentence that is being spoken."""
        if (answer := self._active(answer_id)) is not None:
            answer.sound(data)

    def spoken(self, answer_id: str) -> None:
        """The sentence has been spoken whole."""
        if (answer := self._active(answer_id)) is not None:
            answer.spoken()
            self._settle()

    def failed(self, answer_id: str, error: MeshError) -> None:
        """A call of a response has failed, and so the response. The session goes on."""
        if (answer := self._active(answer_id)) is not None:
            self._stop(answer)
            self.tell(error)
            answer.fail(error)

    def _active(self, answer_id: str) -> Answer | None:
        return self._answer if self._answer is not None and self._answer.id == answer_id else None

    def _stop(self, answer: Answer) -> None:
        self._answer = None
        self._out.append(Stop(answer.id))

    def _settle(self) -> None:
        if self._answer is not None and self._answer.ended:
            self._answer = None

    def _emit(self, kind: str, **fields: Any) -> None:
        self._out.append(Send({"type": kind, "event_id": self._make_id("event"), **fields}))


HANDLERS: dict[type[ClientEvent], Callable[[Machine, Any], None]] = {
    UpdateSession: Machine._update,
    Append: Machine._append,
    Commit: Machine._commit,
    Clear: Machine._clear,
    CreateItem: Machine._create_item,
    DeleteItem: Machine._delete_item,
    RetrieveItem: Machine._retrieve_item,
    TruncateItem: Machine._truncate_item,
    CreateResponse: Machine._create_response,
    CancelResponse: Machine._cancel_response,
}
"""What each event does."""
