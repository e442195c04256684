"""A large request once, as the bytes that travel: its parsed tree can be four times as large, and is let go."""

from __future__ import annotations

import msgspec
from google.protobuf.message import Message
from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import JsonObject

from nexus_gateway.core.prompt_bytes import prompt_bytes
from nexus_gateway.core.prompt_head import affinity

__all__ = ["LARGE", "Packed"]

LARGE = 256 * 1024
"""Bytes of a body. What is smaller costs more to pack than to keep."""
SHORT = (bool, int, float, type(None))
LENGTH_DELIMITED = 2
BODY = inference_pb2.Envelope.DESCRIPTOR.fields_by_name["body"].number << 3 | LENGTH_DELIMITED

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


class Packed:
    """A checked body without its model's name: whom it goes to has a name of its own for that.

    What is kept for another attempt is the very message that was sent last, not a copy of its body beside it.
    """

    __slots__ = ("_message", "_start", "affinity", "outline", "prompt_bytes")

    def __init__(self, operation: int, body: JsonObject) -> None:
        self.affinity = affinity(body)
        self.outline = outline(body)
        self.prompt_bytes = prompt_bytes(operation, body)
        # What follows the model's name in the object, its closing brace included.
        self._message = encode({key: value for key, value in body.items() if key != "model"})
        self._start = 1

    def read(self, model: str) -> JsonObject:
        """The body once more. Let go of it soon."""
        return {**decode(b"{" + self._message[self._start :]), "model": model}

    def message(self, kind: type[Message], envelope: inference_pb2.Envelope) -> bytes:
        """A request message of this kind, serialised, that has the body in its envelope.

        The envelope is written twice, the second time with nothing but the body: readers of protobuf merge the two.
        """
        rest = memoryview(self._message)[self._start :]
        begin = b'{"model":%b' % encode(envelope.model) + (b"," if len(rest) > 1 else b"")
        inner = bytes([BODY]) + _varint(len(begin) + len(rest)) + begin
        outer = bytes([kind.DESCRIPTOR.fields_by_name["envelope"].number << 3 | LENGTH_DELIMITED])
        head = kind(envelope=envelope).SerializeToString() + outer + _varint(len(inner) + len(rest)) + inner
        self._message, self._start = b"".join((head, rest)), len(head)
        return self._message


def outline(body: JsonObject) -> JsonObject:
    """A body's parameters without what may be long: of that it says whether there is any, of options their names."""
    short = {name: value if type(value) in SHORT else bool(value) for name, value in body.items()}
    if isinstance(options := body.get("options"), dict):
        short["options"] = dict.fromkeys(options, True)
    return short


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
