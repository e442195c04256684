"""A realtime session without a socket: events and news go in, events and calls come out."""

from __future__ import annotations

import base64
import json
from itertools import count
from typing import Any

import pytest
from nexus_gateway.dialects.casting import Parts
from nexus_gateway.dialects.chain import Heard, Link
from nexus_gateway.dialects.realtime.answer import Usage
from nexus_gateway.dialects.realtime.machine import (
    Chat,
    Detect,
    Forget,
    Machine,
    Send,
    Speak,
    Stop,
    Transcribe,
)
from nexus_mesh.core import MeshError, Reason
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

ALL = Parts(("whisper",), {"piper": ("amy", "joe"), "kokoro": ("af",)}, detects=True)
SECOND = 48_000
"""Bytes."""
OFFICIAL: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)


class Session:
    """A machine, and all that came out of it. Every event is read as the official client reads it."""

    def __init__(self, parts: Parts = ALL) -> None:
        numbers = count()
        self.parts = parts
        self.machine = Machine("sess_1", "m", lambda: self.parts, 99, lambda kind: f"{kind}_{next(numbers)}")
        self.events: list[dict[str, Any]] = []
        self.calls: list[Any] = []
        self.machine.begin()
        self.collect()

    def say(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """The events that came of it."""
        self.machine.receive(json.dumps({"type": kind, **fields}))
        return self.collect()

    def collect(self) -> list[dict[str, Any]]:
        out = self.machine.take()
        told = [each.event for each in out if isinstance(each, Send)]
        for event in told:
            OFFICIAL.validate_python(event)
        self.events += told
        self.calls += [each for each in out if not isinstance(each, Send)]
        return told

    def call(self, kind: type[Any]) -> Any:
        """The last call, which is of this kind."""
        assert isinstance(self.calls[-1], kind), self.calls[-1:]
        return self.calls[-1]

    def ask(self, text: str = "hi") -> Chat:
        part = {"type": "input_text", "text": text}
        self.say("conversation.item.create", item={"type": "message", "role": "user", "content": [part]})
        self.say("response.create")
        return self.call(Chat)

    def write(
        self, chat: Chat, text: str = "", finish: str | None = None, **delta: Any
    ) -> list[dict[str, Any]]:
        content = {"content": text} if text else {}
        self.machine.wrote(chat.answer_id, {"delta": content | delta, "finish_reason": finish})
        return self.collect()

    def end(self, chat: Chat) -> list[dict[str, Any]]:
        self.machine.written(chat.answer_id, Usage(3, 4, 1))
        return self.collect()

    def sound(self, seconds: float) -> None:
        data = base64.b64encode(bytes(round(seconds * 24_000) * 2)).decode()
        self.say("input_audio_buffer.append", audio=data)

    def detect(self, *probabilities: float) -> list[dict[str, Any]]:
        self.machine.detected([*probabilities])
        return self.collect()


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def text_session() -> Session:
    session = Session()
    session.say("session.update", session={"output_modalities": ["text"]})
    return session


def test_a_session_begins_with_all_there_is() -> None:
    told = Session().events[0]["session"]
    assert told["output_modalities"] == ["audio"]
    assert told["audio"]["input"]["turn_detection"]["type"] == "server_vad"
    assert told["audio"]["output"]["voice"] == "amy"
    assert told["nexus"]["chain"] == {"transcription": "whisper", "chat": "m", "speech": "piper"}


def test_without_ears_and_voice_it_is_a_session_of_text() -> None:
    session = Session(Parts())
    told = session.events[0]["session"]
    assert (told["output_modalities"], told["audio"]["input"]["turn_detection"]) == (["text"], None)
    chat = session.ask()
    session.write(chat, "Hello", "stop")
    assert session.end(chat)[-1]["response"]["status"] == "completed"
    for event in (
        {"type": "session.update", "session": {"output_modalities": ["audio"]}},
        {
            "type": "session.update",
            "session": {"audio": {"input": {"turn_detection": {"type": "server_vad"}}}},
        },
        {
            "type": "session.update",
            "session": {"audio": {"input": {"transcription": {"model": "whisper-1"}}}},
        },
    ):
        error = session.say(kind=event["type"], session=event["session"])[0]["error"]
        assert error["code"] == "capability_missing"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"audio": {"output": {"voice": "nobody"}}}, "af, amy, joe"),
        ({"audio": {"output": {"voice": "af", "model": "piper"}}}, "amy, joe"),
        ({"audio": {"output": {"model": "nobody"}}}, "kokoro, piper"),
        ({"audio": {"output": {"speed": 9.0}}}, "4.0"),
        ({"audio": {"input": {"transcription": {"model": "nobody"}}}}, "whisper"),
        ({"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}, "server_vad"),
        ({"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 2.0}}}}, "1.0"),
        ({"audio": {"input": {"noise_reduction": {"type": "near_field"}}}}, "noise"),
        ({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16_000}}}}, "24000"),
        ({"audio": {"output": {"format": {"type": "audio/mp3"}}}}, "audio/mp3"),
        ({"output_modalities": ["text", "audio"]}, "['audio']"),
        ({"model": "other"}, "model"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "function"),
        ({"include": ["item.input_audio_transcription.logprobs"]}, "Leave it out"),
        ({"truncation": {"type": "retention_ratio", "retention_ratio": 0.5}}, "never cut"),
        ({"voice": "amy"}, "voice"),
    ],
)
def test_what_cannot_be_had_is_refused_and_changes_nothing(changes: dict[str, Any], named: str) -> None:
    session = Session()
    error = session.say("session.update", event_id="e7", session=changes)
    assert kinds(error) == ["error"]
    assert named in error[0]["error"]["message"]
    assert error[0]["error"]["event_id"] == "e7"
    before, now = session.events[0]["session"], session.say("session.update", session={})[0]["session"]
    assert now == before


def test_a_voice_of_another_model_brings_that_model() -> None:
    session = Session()
    told = session.say("session.update", session={"audio": {"output": {"voice": {"id": "af"}}}})[0]["session"]
    assert (told["audio"]["output"]["model"], told["nexus"]["chain"]["speech"]) == ("kokoro", "kokoro")


def test_a_turn_of_text_in_events() -> None:
    session = text_session()
    chat = session.ask("what?")
    assert chat.body["messages"] == [{"role": "user", "content": "what?"}]
    begun = session.write(chat, "Hel")
    assert kinds(begun) == [
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_text.delta",
    ]
    assert kinds(session.write(chat, "lo", "stop")) == ["response.output_text.delta"]
    ended = session.end(chat)
    assert kinds(ended) == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    response = ended[-1]["response"]
    assert response["usage"]["total_tokens"] == 7
    assert response["output"][0]["content"] == [{"type": "output_text", "text": "Hello"}]
    assert session.ask("and?").body["messages"][1] == {"role": "assistant", "content": "Hello"}


def test_sentences_are_spoken_one_at_a_time_and_told_with_their_sound() -> None:
    session = Session()
    chat = session.ask()
    assert "response.output_audio_transcript.delta" not in kinds(session.write(chat, "One. Two. "))
    first = session.call(Speak)
    assert first.body == {"model": "piper", "input": "One.", "voice": "amy"}
    session.write(chat, "Three", "stop")
    assert kinds(session.end(chat)) == []
    assert session.calls[-1] is first
    session.machine.sounded(chat.answer_id, bytes(4))
    assert kinds(session.collect()) == [
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
    ]
    for sentence in ("Two.", "Three"):
        session.machine.spoken(chat.answer_id)
        session.collect()
        assert session.call(Speak).body["input"] == sentence
        session.machine.sounded(chat.answer_id, bytes(4))
    session.machine.spoken(chat.answer_id)
    done = session.collect()[-1]["response"]
    assert (done["status"], done["output"][0]["content"][0]["transcript"]) == ("completed", "One. Two. Three")


def test_words_that_nobody_heard_are_no_part_of_the_conversation() -> None:
    session = Session()
    chat = session.ask()
    session.write(chat, "One is said. Two is not. ")
    session.machine.sounded(chat.answer_id, bytes(2 * SECOND))
    session.collect()
    done = session.say("response.cancel")[-1]["response"]
    assert session.call(Stop).answer_id == chat.answer_id
    assert (done["status"], done["status_details"]["reason"]) == ("cancelled", "client_cancelled")
    item = done["output"][0]
    assert (item["status"], item["content"][0]["transcript"]) == ("incomplete", "One is said. ")
    session.machine.sounded(chat.answer_id, bytes(4))
    session.machine.spoken(chat.answer_id)
    assert session.collect() == [], "what comes late is not heard"
    session.say("conversation.item.truncate", item_id=item["id"], content_index=0, audio_end_ms=1_000)
    kept = session.say("conversation.item.retrieve", item_id=item["id"])[0]["item"]
    assert kept["content"][0]["transcript"] == "One is "
    assert session.ask().body["messages"][1] == {"role": "assistant", "content": "One is "}


def test_nothing_is_cut_that_is_not_there() -> None:
    session = Session()
    chat = session.ask()
    session.write(chat, "One. ", "stop")
    session.end(chat)
    session.machine.sounded(chat.answer_id, bytes(SECOND))
    session.machine.spoken(chat.answer_id)
    item = session.collect()[-1]["response"]["output"][0]["id"]
    for index, end in ((0, 1_001), (0, -1), (1, 0)):
        told = session.say("conversation.item.truncate", item_id=item, content_index=index, audio_end_ms=end)
        assert kinds(told) == ["error"]


def test_speech_is_found_cut_out_heard_and_answered() -> None:
    session = Session()
    session.sound(3)
    assert session.call(Detect).data == bytes(3 * SECOND)
    quiet, loud = [0.0] * 31, [0.9] * 31
    assert session.detect(*quiet) == []
    begun = session.detect(*loud)
    assert kinds(begun) == ["input_audio_buffer.speech_started"]
    assert begun[0]["audio_start_ms"] == 31 * 32 - 300
    ended = session.detect(*quiet[:16])
    assert kinds(ended) == [
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert ended[0]["audio_end_ms"] == 78 * 32
    assert {event["item_id"] for event in (*begun, *ended[:2])} == {begun[0]["item_id"]}
    heard = session.call(Transcribe)
    assert len(heard.file) - 44 == (78 * 32 - (31 * 32 - 300)) * 48
    assert "response.created" not in kinds(session.events)
    session.machine.heard(heard.item_id, 0, Heard("hello", 1.5, Link("transcription", "whisper", "b", "z")))
    assert kinds(session.collect()) == [
        "conversation.item.input_audio_transcription.completed",
        "response.created",
    ]
    assert session.call(Chat).body["messages"] == [{"role": "user", "content": "hello"}]


def test_noise_is_not_answered() -> None:
    session = Session()
    session.sound(3)
    session.detect(*[0.9] * 10, *[0.0] * 16)
    heard = session.call(Transcribe)
    session.machine.heard(heard.item_id, 0, Heard("", 1.5, Link("transcription", "whisper", "b", "z")))
    assert kinds(session.collect()) == ["conversation.item.input_audio_transcription.completed"]


@pytest.mark.parametrize("interrupts", [True, False])
def test_who_speaks_meanwhile_interrupts(interrupts: bool) -> None:
    session = Session()
    wanted = {"type": "server_vad", "interrupt_response": interrupts}
    session.say("session.update", session={"audio": {"input": {"turn_detection": wanted}}})
    assert any(isinstance(each, Forget) for each in session.calls) is not interrupts
    chat = session.ask()
    session.write(chat, "One. ")
    session.sound(1)
    told = session.detect(0.9, 0.9)
    assert ("response.done" in kinds(told)) is interrupts
    assert isinstance(session.calls[-1], Stop) is interrupts
    if interrupts:
        assert told[-1]["response"]["status_details"] == {"type": "cancelled", "reason": "turn_detected"}


def test_silence_is_not_kept() -> None:
    session = Session()
    for _ in range(100):
        session.sound(1)
        session.detect(*[0.0] * 31)
    assert len(session.machine._buffer.data) < 4 * SECOND  # pyright: ignore[reportPrivateUsage]


def test_a_full_buffer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session()
    session.say("session.update", session={"audio": {"input": {"turn_detection": None}}})
    for _ in range(17):
        session.sound(20)
    assert session.say("input_audio_buffer.append", audio=base64.b64encode(bytes(20 * SECOND)).decode())[0][
        "error"
    ]["message"].startswith("The buffer is full")
    assert kinds(session.say("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]


def test_a_response_waits_for_what_is_being_heard() -> None:
    session = text_session()
    session.say("session.update", session={"audio": {"input": {"turn_detection": None}}})
    session.sound(1)
    session.say("input_audio_buffer.commit")
    heard = session.call(Transcribe)
    assert kinds(session.say("response.create")) == ["response.created"]
    assert session.calls[-1] is heard
    session.machine.heard(heard.item_id, 0, Heard("hello", 1.0, Link("transcription", "whisper", "b", "z")))
    session.collect()
    assert session.call(Chat).body["messages"][0]["content"] == "hello"


def test_one_response_at_a_time() -> None:
    session = text_session()
    session.ask()
    error = session.say("response.create", event_id="e2")[0]["error"]
    assert error["code"] == "invalid_value"
    assert "under way" in error["message"]


def test_a_response_beside_the_conversation() -> None:
    session = text_session()
    session.say(
        "response.create",
        response={
            "conversation": "none",
            "instructions": "Be brief.",
            "metadata": {"a": "b"},
            "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}],
        },
    )
    chat = session.call(Chat)
    assert chat.body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "x"},
    ]
    session.write(chat, "y", "stop")
    done = session.end(chat)[-1]["response"]
    assert (done["conversation_id"], done["metadata"]) == (None, {"a": "b"})
    assert len(session.ask("z").body["messages"]) == 1


def test_a_cut_answer_says_why() -> None:
    session = text_session()
    session.say("session.update", session={"max_output_tokens": 5})
    chat = session.ask()
    assert chat.body["max_completion_tokens"] == 5
    session.write(chat, "One", "length")
    done = session.end(chat)[-1]["response"]
    assert (done["status"], done["status_details"]["reason"]) == ("incomplete", "max_output_tokens")


def test_a_failure_ends_the_response_and_not_the_session() -> None:
    session = text_session()
    chat = session.ask()
    session.write(chat, "One")
    session.machine.failed(chat.answer_id, MeshError(Reason.BACKEND_LOST, "gone"))
    told = session.collect()
    assert kinds(told)[0] == "error"
    assert told[-1]["response"]["status"] == "failed"
    assert told[-1]["response"]["status_details"]["error"]["code"] == "backend_lost"
    assert session.ask("again").body["messages"][-1]["content"] == "again"


def test_a_lost_detector_is_told_and_turns_are_committed_by_hand() -> None:
    session = Session()
    session.sound(1)
    session.machine.undetected(MeshError(Reason.INTERNAL, "gone"))
    told = session.collect()
    assert kinds(told) == ["error", "session.updated"]
    assert told[1]["session"]["audio"]["input"]["turn_detection"] is None
    assert "input_audio_buffer.committed" in kinds(session.say("input_audio_buffer.commit"))


def test_items_stand_where_they_were_put() -> None:
    session = text_session()

    def put(text: str, **where: Any) -> str:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        return session.say("conversation.item.create", item=item, **where)[0]["item"]["id"]

    second = put("2")
    put("1", previous_item_id="root")
    put("3", previous_item_id=second)
    gone = put("4")
    session.say("conversation.item.delete", item_id=gone)
    session.say("response.create")
    assert [each["content"] for each in session.call(Chat).body["messages"]] == ["1", "2", "3"]
    assert kinds(session.say("conversation.item.create", item={"id": second, "role": "user"})) == ["error"]


def test_nothing_to_answer_is_said() -> None:
    session = text_session()
    told = session.say("response.create")
    assert kinds(told) == ["response.created", "error", "response.done"]
    assert told[-1]["response"]["status"] == "failed"
