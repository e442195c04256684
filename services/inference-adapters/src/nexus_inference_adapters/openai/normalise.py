"""Turns a backend's whole answer into the complete OpenAI response object."""

from __future__ import annotations

import base64
import struct
import time
from typing import Any

import msgspec
from msgspec import UNSET
from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_operations import Form, spec_of

from nexus_inference_adapters.contract import Completed, Work, from_event, malformed
from nexus_inference_adapters.openai.answers import (
    decoded,
    finish_reason,
    logprobs_of,
    reported,
    text_of,
    usage_of,
)
from nexus_inference_adapters.openai.requests import calls_one
from nexus_inference_adapters.openai.tool_calls import arguments_text, whole_calls
from nexus_inference_adapters.openai.types import Choice, Embeddings, Message, Whole

__all__ = ["completed", "embedded_rows", "from_whole", "usage_fields", "whole_answer"]

WHOLE = msgspec.json.Decoder(Whole)
EMBEDDINGS = msgspec.json.Decoder(Embeddings)
OBJECT = msgspec.json.Decoder(dict[str, Any])


def whole_answer(work: Work, raw: bytes) -> Completed:
    """The answer to `work` from a backend that speaks OpenAI. Raises UPSTREAM_MALFORMED, UPSTREAM_ERROR."""
    match spec_of(work.operation).form:
        case Form.MESSAGE | Form.TEXT:
            whole = decoded(WHOLE, raw)
            _refuse_error(whole.error, whole.choices, raw)
            return from_whole(work, whole)
        case Form.VECTOR:
            answer = decoded(EMBEDDINGS, raw)
            _refuse_error(answer.error, answer.data, raw)
            return embedded_rows(work, answer)
        case _:
            return _as_it_came(work, decoded(OBJECT, raw), raw)


def _as_it_came(work: Work, answer: dict[str, Any], raw: bytes) -> Completed:
    """Nothing is known of its rows but how many there must be."""
    spec = spec_of(work.operation)
    rows = answer.get(spec.rows)
    _refuse_error(answer.get("error"), rows, raw)
    if not isinstance(rows, list) or len(rows) != spec.expected(work.body):
        raise malformed(f"The backend's answer does not have all of its {spec.rows!r}.")
    body = msgspec.json.encode({**answer, "model": work.offered}).decode()
    return Completed(body, usage_of(answer.get("usage")))


def from_whole(work: Work, whole: Whole) -> Completed:
    """Checks a chat or text completion and completes it."""
    choices = _in_order(whole.choices or [])
    spec = spec_of(work.operation)
    if len(choices) != spec.expected(work.body):
        raise malformed("The backend's answer does not have one choice for each that was asked for.")
    body: dict[str, Any] = {
        "id": spec.id_prefix + work.request_id.removeprefix("req_"),
        "object": spec.object,
        "created": int(time.time()),
        "model": work.offered,
        "choices": [_choice(work, choice, index) for index, choice in enumerate(choices)],
    }
    if isinstance(whole.system_fingerprint, str):
        body["system_fingerprint"] = whole.system_fingerprint
    return completed(body, whole.usage)


def completed(body: dict[str, Any], usage: Any) -> Completed:
    """Adds the usage, if the backend gave one, and writes the body down."""
    message = usage_of(usage)
    if message is not None:
        body["usage"] = usage_fields(message)
    return Completed(msgspec.json.encode(body).decode(), message)


def usage_fields(usage: inference_pb2.Usage) -> dict[str, Any]:
    """The same as OpenAI's object."""
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    counts: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if usage.HasField("cached_tokens"):
        counts["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.HasField("reasoning_tokens"):
        counts["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return counts


def _in_order(choices: list[Choice]) -> list[Choice]:
    """By their indexes where those are a numbering, else as they came."""
    indexes = [choice.index for choice in choices]
    if all(type(index) is int for index in indexes) and len(set(indexes)) == len(indexes):
        return sorted(choices, key=lambda choice: choice.index)
    return choices


def _refuse_error(error: Any, content: Any, raw: bytes) -> None:
    """Raises what came in place of an answer, in any of the forms errors have."""
    if error:
        raise from_event({"error": error})
    if not content and (failure := reported(raw)):
        raise failure


def _choice(work: Work, choice: Choice, index: int) -> dict[str, Any]:
    operation = work.operation
    reason = finish_reason(choice.finish_reason)
    if reason is None:
        raise MeshError(Reason.UPSTREAM_MALFORMED, "The backend's answer has no finish reason.")
    logprobs = logprobs_of(operation, choice.logprobs)
    said: dict[str, Any] = {"index": index, "logprobs": logprobs, "finish_reason": reason}
    if spec_of(operation).form is not Form.MESSAGE:
        if not isinstance(choice.text, str):
            raise malformed("The backend's answer has no text.")
        return {**said, "text": choice.text}
    if not choice.message:
        raise malformed("The backend's answer has no message.")
    message = _message(choice.message)
    if message.tool_calls and calls_one(work.body):
        message.tool_calls = message.tool_calls[:1]
    return {**said, "message": message}


def _message(message: Message) -> Message:
    """Reasoning under its one name; content null exactly where something else stands in its place."""
    message.role = "assistant"
    message.reasoning_content = message.reasoning_content or message.reasoning or UNSET
    message.reasoning = UNSET
    message.tool_calls = whole_calls(message.tool_calls) if message.tool_calls else UNSET
    if message.function_call:
        message.function_call.arguments = arguments_text(message.function_call.arguments)
    message.function_call = message.function_call or UNSET
    message.audio = message.audio or UNSET
    message.annotations = message.annotations or UNSET
    message.content = text_of(message.content)
    stands_in = message.tool_calls or message.function_call or message.audio or message.refusal
    message.content = message.content or (None if stands_in else "")
    return message


def embedded_rows(work: Work, answer: Embeddings) -> Completed:
    """Embeddings in the order of the inputs, floats or base64 as the request asked."""
    rows = answer.data or []
    told = [row.index for row in rows]
    # Rows without a numbering come in the order of the inputs; a wrong numbering would give inputs another's vector.
    indexes = told if any(type(index) is int for index in told) else list(range(len(rows)))
    if not all(type(index) is int for index in indexes) or sorted(indexes) != list(
        range(spec_of(work.operation).expected(work.body))
    ):
        raise malformed("The backend's answer does not have one embedding for each input.")
    encode = _as_base64 if work.body.get("encoding_format") == "base64" else _as_floats
    data = [
        {"object": "embedding", "index": index, "embedding": encode(row.embedding)}
        for index, row in sorted(zip(indexes, rows, strict=True), key=lambda pair: pair[0])
    ]
    usage = usage_of(answer.usage)
    counts = usage.prompt_tokens if usage else 0
    body: dict[str, Any] = {"object": spec_of(work.operation).object, "data": data, "model": work.offered}
    # OpenAI requires the key; without the backend's word it says zero, and metering goes by the typed field.
    body["usage"] = {"prompt_tokens": counts, "total_tokens": counts}
    return Completed(msgspec.json.encode(body).decode(), usage)


def _as_base64(vector: list[float] | str) -> str:
    if isinstance(vector, str):
        _as_floats(vector)
        return vector
    if not vector:
        raise malformed("The backend sent an empty embedding.")
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _as_floats(vector: list[float] | str) -> list[float]:
    if isinstance(vector, str):
        try:
            raw = base64.b64decode(vector, validate=True)
            vector = list(struct.unpack(f"<{len(raw) // 4}f", raw))
        except (ValueError, struct.error):
            raise malformed("The backend sent an embedding that is not base64 of float32.") from None
    if not vector:
        raise malformed("The backend sent an empty embedding.")
    return vector
