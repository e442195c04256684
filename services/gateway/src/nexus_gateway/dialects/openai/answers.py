"""The whole answer of a backend as the client asked for it."""

from __future__ import annotations

import array
import binascii
import sys

import msgspec
from msgspec import Raw, Struct
from nexus_mesh.core import JsonObject, MeshError, Reason
from nexus_operations import Form

from nexus_gateway.core import InferenceRequest

__all__ = ["answer_body", "float32_base64"]

_LITTLE_ENDIAN = sys.byteorder == "little"


class _Completion(Struct):
    id: str
    object: str
    created: int
    model: str
    choices: list[Raw]


class _Vector(Struct):
    index: int
    embedding: list[float]
    object: str = "embedding"


class _EncodedVector(Struct):
    object: str
    index: int
    embedding: str


class _Embeddings(Struct):
    data: list[_Vector]
    model: str
    usage: Raw
    object: str = "list"


_object = msgspec.json.Decoder(dict[str, Raw])
_rows = msgspec.json.Decoder(list[Raw])
_completion = msgspec.json.Decoder(_Completion)
_embeddings = msgspec.json.Decoder(_Embeddings)


def answer_body(request: InferenceRequest, body: str) -> bytes:
    """The response body for the client. MeshError UPSTREAM_MALFORMED when it is not what was asked for."""
    try:
        match request.spec.form:
            case Form.VECTOR:
                return _embedding_body(request, body)
            case Form.MESSAGE | Form.TEXT:
                found = len(_completion.decode(body).choices)
            case _:
                found = len(_rows.decode(_object.decode(body).get(request.spec.rows, b"[]")))
    except (ValueError, OverflowError, RecursionError):
        raise _malformed() from None
    if found != request.answers:
        raise _malformed()
    return _name_reasoning_twice(body) if '"reasoning_content"' in body else body.encode()


def _embedding_body(request: InferenceRequest, body: str) -> bytes:
    answer = _embeddings.decode(body)
    answer.data.sort(key=lambda vector: vector.index)
    if [vector.index for vector in answer.data] != list(range(request.answers)):
        raise _malformed()
    if not request.base64:
        return msgspec.json.encode(answer)
    data = [_EncodedVector(v.object, v.index, float32_base64(v.embedding)) for v in answer.data]
    return msgspec.json.encode({"object": "list", "data": data, "model": answer.model, "usage": answer.usage})


def float32_base64(vector: list[float]) -> str:
    """OpenAI's base64 vector: float32, little-endian."""
    packed = array.array("f", vector)
    if not _LITTLE_ENDIAN:
        packed.byteswap()
    return binascii.b2a_base64(packed, newline=False).decode("ascii")


def _malformed() -> MeshError:
    message = "The backend's answer is incomplete or breaks the OpenAI format."
    return MeshError(Reason.UPSTREAM_MALFORMED, message)


def _name_reasoning_twice(body: str) -> bytes:
    """Clients read reasoning under either name; the wire has no official one."""
    answer: JsonObject = msgspec.json.decode(body)
    for choice in answer["choices"]:
        message = choice.get("message")
        if isinstance(message, dict) and "reasoning_content" in message:
            message["reasoning"] = message["reasoning_content"]
    return msgspec.json.encode(answer)
