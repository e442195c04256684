"""C: an oddity in the bookkeeping of an answer that is there may cost the bookkeeping, never the answer."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from nexus_inference_adapters.contract.work import Work
from nexus_inference_adapters.openai.event_stream import ChunkNormaliser, EventStream
from nexus_inference_adapters.openai.normalise import whole_answer
from nexus_inference_adapters.vocabulary import CHAT
from nexus_mesh.core.errors import MeshError, Reason

Json = dict[str, Any]
ODD = (None, "", "x", -1, 7, 2.5, True, [], {}, "12", 2**70)
USAGES = (None, -1, "many", [], {"prompt_tokens": -3}, {"prompt_tokens": "12", "completion_tokens": 3.0},
          {"prompt_tokens": None}, {"prompt_tokens": 1, "prompt_tokens_details": "none"},
          {"total_tokens": 2**80})  # fmt: skip
ENDS = (
    "model_length",
    "max_tokens",
    "eos",
    "stop_sequence",
    "END_TURN",
    "length",
    "something_new",
    {"type": "stop"},
)
WORDS = ["The ", "answer ", "is ", "42."]


def good_stream() -> list[Json]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    deltas = [{"role": "assistant"}, *({"content": word} for word in WORDS)]
    calls: list[Json] = [{"index": 0, "id": "c0", "type": "function", "function": {"name": "f", "arguments": '{"a"'}},
                         {"index": 0, "function": {"arguments": ": 1}"}}]  # fmt: skip
    deltas += [{"tool_calls": [call]} for call in calls]
    events = [{**head, "choices": [{"index": 0, "delta": each, "finish_reason": None}]} for each in deltas]
    events.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    events.append({**head, "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}})
    return json.loads(json.dumps(events))


def head_field(rng: random.Random, events: list[Json]) -> None:
    rng.choice(events)[rng.choice(["id", "object", "created", "model", "system_fingerprint"])] = rng.choice(
        ODD
    )


def lost_head_field(rng: random.Random, events: list[Json]) -> None:
    for event in events:
        event.pop(rng.choice(["id", "created", "model", "object"]), None)


def odd_usage(rng: random.Random, events: list[Json]) -> None:
    rng.choice(events)["usage"] = rng.choice(USAGES)


def fresh_call_ids(_: random.Random, events: list[Json]) -> None:
    for number, call in enumerate(calls_of(events)):
        call["id"] = f"fresh_{number}"


def call_index(rng: random.Random, events: list[Json]) -> None:
    index = rng.choice([1, 5, -2, None, "0"])
    for call in calls_of(events):
        call["index"] = index


def choice_index(rng: random.Random, events: list[Json]) -> None:
    index = rng.choice([1, 9, None, "0", 0.0])
    for event in events:
        for choice in event["choices"] or ():
            choice["index"] = index


def finish_twice(rng: random.Random, events: list[Json]) -> None:
    end = next(event for event in events if any(each.get("finish_reason") for each in event["choices"] or ()))
    events.insert(events.index(end) + 1, json.loads(json.dumps(end)))
    events[-1]["choices"] = rng.choice([[], None])


def odd_end(rng: random.Random, events: list[Json]) -> None:
    for event in events:
        for choice in event["choices"] or ():
            if choice.get("finish_reason"):
                choice["finish_reason"] = rng.choice(ENDS)


def null_fields(rng: random.Random, events: list[Json]) -> None:
    for event in events:
        for choice in event["choices"] or ():
            choice["logprobs"] = rng.choice(
                [None, [], "none", {"content": [{"logprob": None}]}, {"content": "x"}]
            )
            choice["delta"] |= {
                "role": rng.choice(ODD),
                "refusal": None,
                "annotations": rng.choice([None, [], {}]),
            }


def filter_verdict_first(_: random.Random, events: list[Json]) -> None:
    """Azure's first chunk."""
    events.insert(0, {"id": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]})


def text_beside_the_delta(_: random.Random, events: list[Json]) -> None:
    """Together's chunks say their text twice."""
    for event in events:
        for choice in event["choices"] or ():
            choice["text"] = choice["delta"].get("content") or ""


def events_that_say_nothing(rng: random.Random, events: list[Json]) -> None:
    """Keep-alives of gateways, and the heads of chunks without a body."""
    events.insert(
        rng.randrange(len(events)),
        rng.choice([{"type": "ping", "choices": None}, {"id": "x", "choices": []}]),
    )


def everything_in_each(rng: random.Random, events: list[Json]) -> None:
    """mlx-lm's roles, a usage in every chunk, and ends that are none yet."""
    for event in events:
        event.setdefault("usage", {"prompt_tokens": 1, "completion_tokens": 1})
        for choice in event["choices"] or ():
            choice["delta"] = {"role": "assistant", "content": None, "tool_calls": None, **choice["delta"]}
            choice["finish_reason"] = choice.get("finish_reason") or rng.choice(["", None])


def an_end_without_a_delta(_: random.Random, events: list[Json]) -> None:
    for event in events:
        for choice in event["choices"] or ():
            if choice.get("finish_reason") and not any(choice["delta"].values()):
                choice["delta"] = None


MUTATIONS: tuple[Callable[[random.Random, list[Json]], None], ...] = (
    head_field, lost_head_field, odd_usage, fresh_call_ids, call_index, choice_index, finish_twice, odd_end,
    null_fields, filter_verdict_first, text_beside_the_delta, events_that_say_nothing, everything_in_each,
)  # fmt: skip


def calls_of(events: list[Json]) -> list[Json]:
    choices = [choice for event in events for choice in event["choices"] or ()]
    return [call for choice in choices for call in choice["delta"].get("tool_calls") or ()]


def test_an_end_without_a_delta_ends() -> None:
    """C3: and a head without choices says nothing."""
    events = good_stream()
    an_end_without_a_delta(random.Random(0), events)
    events.insert(1, {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"})
    events.insert(1, {"type": "ping"})
    chunks = ChunkNormaliser(CHAT, {})
    for event in events:
        chunks.feed(json.dumps(event).encode())
    assert chunks.finish() is not None


def streamed(raw: bytes) -> tuple[str, EventStream]:
    events = EventStream(ChunkNormaliser(CHAT, {}))
    ready = events.take(raw)
    assert isinstance(ready, list)
    said = [choice["delta"].get("content", "") for text in ready for choice in json.loads(text)["choices"]]
    return "".join(said), events


BEHIND = (
    b"data: [DONE] \n\n",
    b"data:[DONE]\n\n",
    b'data: {"oops\n\ndata: [DONE]\n\n',
    b'data: {"detail": "x"}\n\n',
    b'data: {"error": {"message": "usage failed"}}\n\ndata: [DONE]\n\n',
    b"<html>\n\n",
    b"event: end\n\n",
)


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_what_comes_behind_an_end_costs_nothing(behind: bytes, mark: bytes) -> None:
    """C: an answer that is whole is handed on, whatever else the backend has to say."""
    whole = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in good_stream())
    text, events = streamed(mark + whole + behind)
    assert (text, events.failure) == ("".join(WORDS), None)
    assert events.finish() is not None


def test_content_behind_an_end_is_never_lost_in_silence() -> None:
    """C: that is no bookkeeping."""
    more = {"choices": [{"index": 0, "delta": {"content": "and more"}}]}
    sent = [*good_stream(), more]
    _, events = streamed(b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in sent))
    assert events.failure is not None
    assert events.failure.reason is Reason.UPSTREAM_MALFORMED


@pytest.mark.parametrize("first", range(0, 2000, 500))
def test_odd_books_never_cost_a_stream(first: int) -> None:
    """C1-C4: text, tool call and a finish reason come out of every stream whose books were mutated."""
    for seed in range(first, first + 500):
        rng, events = random.Random(seed), good_stream()
        for _ in range(rng.randint(1, 5)):
            rng.choice(MUTATIONS)(rng, events)
        chunks = ChunkNormaliser(CHAT, {})
        said = [json.loads(text) for event in events if (text := chunks.feed(json.dumps(event).encode()))]
        choices = [choice for chunk in said for choice in chunk["choices"]]
        assert "".join(choice["delta"].get("content", "") for choice in choices) == "".join(WORDS), seed
        calls = [call for choice in choices for call in choice["delta"].get("tool_calls", ())]
        assert "".join(call["function"].get("arguments", "") for call in calls) == '{"a": 1}', seed
        assert [call["function"]["name"] for call in calls if "name" in call["function"]] == ["f"], seed
        assert {each["index"] for each in (*calls, *choices)} == {0}, seed
        ends = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
        assert ends in (["stop"], ["length"], ["tool_calls"]), seed
        usage = chunks.finish()
        assert usage is None or usage.prompt_tokens >= 0


def whole(**changes: Any) -> Json:
    choice = {"index": 0, "message": {"role": "assistant", "content": "42."}, "finish_reason": "stop"}
    body = {"id": "x", "choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    raw = json.dumps({**body, **changes}).encode()
    return json.loads(whole_answer(Work(CHAT, "m", "m", {}, "req_1"), raw).body)


@pytest.mark.parametrize("usage", USAGES)
def test_an_odd_usage_never_costs_a_whole_answer(usage: Any) -> None:
    """C: what is no count is not told."""
    answer = whole(usage=usage)
    assert answer["choices"][0]["message"]["content"] == "42."
    assert all(count >= 0 for count in answer.get("usage", {}).values() if isinstance(count, int))


@pytest.mark.parametrize(
    "field", ["refusal", "reasoning", "reasoning_content", "tool_calls", "function_call"]
)
@pytest.mark.parametrize("nothing", [False, 0, "", [], {}, None], ids=str)
def test_nothing_of_any_type_never_costs_an_answer(field: str, nothing: Any) -> None:
    """C: engines in loose languages fill fields that they have no use for."""
    message = {"role": "assistant", "content": "42.", field: nothing}
    [choice] = whole(choices=[{"index": 0, "message": message, "finish_reason": "stop"}])["choices"]
    assert choice["message"]["content"] == "42."
    event = {"choices": [{"index": 0, "delta": message}]}
    said = ChunkNormaliser(CHAT, {}).feed(json.dumps(event).encode())
    assert said is not None
    assert json.loads(said)["choices"][0]["delta"]["content"] == "42."


@pytest.mark.parametrize("said", ENDS)
def test_every_end_is_one_of_openais(said: Any) -> None:
    """C4: what is not known is a stop, and the text is kept."""
    choice = {"index": 3, "message": {"content": [{"type": "text", "text": "42."}]}, "finish_reason": said}
    [answer] = whole(choices=[choice])["choices"]
    assert answer["message"]["content"] == "42."
    assert answer["finish_reason"] == (
        "length" if said in ("model_length", "max_tokens", "length") else "stop"
    )
    assert answer["index"] == 0


@pytest.mark.parametrize("event", [{"choices": [{"delta": {"content": 5}}]}, {"detail": "x"}, {"choices": 5}])
def test_what_may_have_held_content_is_still_an_error(event: Json) -> None:
    """C: lost content is never told as a whole answer."""
    with pytest.raises(MeshError) as caught:
        ChunkNormaliser(CHAT, {}).feed(json.dumps(event).encode())
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED


def test_a_cut_stream_is_no_answer() -> None:
    """C: without a finish reason nothing is finished."""
    chunks = ChunkNormaliser(CHAT, {})
    for event in good_stream()[:-2]:
        chunks.feed(json.dumps(event).encode())
    with pytest.raises(MeshError) as caught:
        chunks.finish()
    assert caught.value.reason is Reason.BACKEND_LOST
