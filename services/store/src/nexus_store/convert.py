"""Between messages and the domain: what is checked of a request, what is told of a file."""

from __future__ import annotations

import re
import unicodedata

from google.protobuf.timestamp_pb2 import Timestamp
from nexus.store.v1 import store_pb2 as pb
from nexus_mesh.core import MeshError, Reason

from nexus_store.types import NewObject, Object

__all__ = [
    "MAX_CHUNK",
    "chunk",
    "invalid",
    "length",
    "new_object",
    "object_of",
    "purpose",
    "sha256",
    "tenant",
    "timestamp",
]

MAX_CHUNK = 64 << 10
MAX_TEXT = 255
PURPOSE = re.compile(r"[a-z0-9_-]{1,63}")
DEFAULT_TYPE = "application/octet-stream"
NANO = 1_000_000_000


def invalid(param: str, why: str) -> MeshError:
    return MeshError(Reason.INVALID_REQUEST, f"{param} {why}.", metadata={"param": param})


def new_object(start: pb.PutStart, now: float) -> NewObject:
    """Raises INVALID_REQUEST."""
    expires = None
    if start.HasField("expire_time"):
        expires = start.expire_time.seconds + start.expire_time.nanos / NANO
        if expires <= now:
            raise invalid("expire_time", "is over")
    if not PURPOSE.fullmatch(start.purpose):
        raise invalid("purpose", "has 1 to 63 of a-z, 0-9, - and _")
    return NewObject(
        tenant=tenant(start.tenant),
        purpose=start.purpose,
        filename=_text("filename", start.filename),
        mime_type=_text("mime_type", start.mime_type) or DEFAULT_TYPE,
        expire_time=expires,
        size=start.size if start.HasField("size") else None,
        key=_text("idempotency_key", start.idempotency_key),
    )


def tenant(text: str) -> str:
    """Raises INVALID_REQUEST."""
    if not text:
        raise invalid("tenant", "is missing")
    return _text("tenant", text)


def purpose(text: str) -> str:
    """Raises INVALID_REQUEST."""
    if text and not PURPOSE.fullmatch(text):
        raise invalid("purpose", "has 1 to 63 of a-z, 0-9, - and _")
    return text


def chunk(data: bytes) -> bytes:
    """Raises INVALID_REQUEST."""
    if len(data) > MAX_CHUNK:
        raise invalid("chunk", f"has at most {MAX_CHUNK} bytes")
    return data


def sha256(data: bytes) -> bytes:
    """Raises INVALID_REQUEST."""
    if len(data) not in (0, 32):
        raise invalid("sha256", "has 32 bytes")
    return data


def length(request: pb.GetRequest) -> int | None:
    """Raises INVALID_REQUEST."""
    if not request.HasField("length"):
        return None
    if request.length == 0:
        raise invalid("length", "is at least 1")
    return request.length


def object_of(one: Object) -> pb.Object:
    message = pb.Object(
        id=one.id,
        purpose=one.purpose,
        filename=one.filename,
        mime_type=one.mime_type,
        size=one.size,
        sha256=one.sha256,
        create_time=timestamp(one.create_time),
    )
    if one.expire_time is not None:
        message.expire_time.CopyFrom(timestamp(one.expire_time))
    return message


def timestamp(seconds: float) -> Timestamp:
    whole = int(seconds)
    return Timestamp(seconds=whole, nanos=min(int((seconds - whole) * NANO), NANO - 1))


def _text(param: str, text: str) -> str:
    if len(text) > MAX_TEXT:
        raise invalid(param, f"has at most {MAX_TEXT} characters")
    if any(unicodedata.category(one) == "Cc" for one in text):
        raise invalid(param, "has a control character")
    return text
