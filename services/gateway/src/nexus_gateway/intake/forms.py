"""multipart/form-data read in pieces: fields become parameters, files go on as they come.

What is to be done with a file must be known before it can be passed on. So where `model` stands before the file it is;
where it does not, and where the file is small, files are kept on disk until the form has ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

import multipart
from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import JsonObject, MeshError, Reason
from nexus_operations import LARGEST_CHUNK, Times

from nexus_gateway.core import Files, OnTheirWay, Step
from nexus_gateway.intake.spool import Spool
from nexus_gateway.validation import invalid, shape_of_form, value_of_field

__all__ = ["Form", "FormLimits", "boundary_of", "read_form"]

LONGEST_BOUNDARY = 70
"""Of RFC 2046."""
PARTS = 64
FIELD_BYTES, FIELDS_BYTES = 64 * 1024, 256 * 1024
"""Of one field, and of all."""
BESIDE_BYTES = 64 * 1024
"""Before the first part, between heads, and behind the last one: nobody means them."""
SMALL = 8 * 1024 * 1024
"""Bytes of a body that is kept whatever order its form has, as is one that does not tell how many it has: whoever sends
those writes fields as they come."""


@dataclass(frozen=True, slots=True)
class FormLimits:
    """`file_bytes`: of all files together. `body`: bytes of the whole body as its head tells, None = it does not."""

    file_bytes: int
    body: int | None = None


@dataclass(slots=True)
class Form:
    """A form as far as it was read: all its fields where `files` are kept, else those before the first file."""

    fields: JsonObject
    files: Files


@dataclass(slots=True)
class _Field:
    name: str
    value: bytearray = field(default_factory=bytearray)


def boundary_of(content_type: bytes) -> str:
    """Raises INVALID_REQUEST."""
    try:
        _, options = multipart.parse_options_header(content_type.decode("latin-1"))
    except multipart.MultipartError:
        options = {}
    boundary = options.get("boundary", "")
    if not 0 < len(boundary) <= LONGEST_BOUNDARY or not boundary.isascii() or not boundary.isprintable():
        raise _malformed(f"its Content-Type must name a boundary of 1 to {LONGEST_BOUNDARY} characters")
    return boundary


async def read_form(
    operation: int,
    pieces: AsyncIterator[bytes],
    boundary: str,
    files: Mapping[str, Times],
    limits: FormLimits,
    spool: Callable[[], Spool],
) -> Form:
    """Reads up to what is needed to begin. Raises INVALID_REQUEST, REQUEST_TOO_LARGE.

    `files`: those the form may have, and how many of each. `spool` makes a place for them.
    """
    reader = _Reader(operation, pieces, boundary, files, limits)
    events = reader.events()
    fields = reader.fields
    async for event in events:
        if isinstance(event, inference_pb2.Part):
            small = limits.body is None or limits.body <= SMALL
            if "model" in fields and not small:
                return Form(reader.parameters(), OnTheirWay(_on(events, event, reader)))
            kept = spool()
            try:
                kept.begin(event)
                async for step in events:
                    if isinstance(step, inference_pb2.Part):
                        kept.begin(step)
                    else:
                        await kept.write(step)
                return Form(reader.parameters(), kept)
            except BaseException:
                kept.close()
                raise
    for name, times in files.items():
        if times.least:
            raise _missing(name)
    return Form(reader.parameters(), spool())


async def _on(
    events: AsyncGenerator[Step, None], first: inference_pb2.Part, reader: _Reader
) -> AsyncGenerator[Step, None]:
    reader.passed_on = True
    async with aclosing(events):
        yield first
        async for step in events:
            yield step


class _Reader:
    """One body."""

    def __init__(
        self,
        operation: int,
        pieces: AsyncIterator[bytes],
        boundary: str,
        files: Mapping[str, Times],
        limits: FormLimits,
    ) -> None:
        self.fields: dict[str, list[str]] = {}
        self.passed_on = False
        """Whether what comes now is too late to be a parameter."""
        self._operation = operation
        self._pieces = pieces
        self._boundary = boundary
        self._wanted = files
        self._seen = Counter[str]()
        self._limits = limits
        self._field: _Field | None = None
        self._field_bytes = 0
        self._file_bytes = 0
        self._of_file = 0
        self._file = ""

    def parameters(self) -> JsonObject:
        """The fields as the parameters they stand for. Raises INVALID_REQUEST."""
        shapes = shape_of_form(self._operation)
        return {name: value_of_field(name, values, shapes.get(name)) for name, values in self.fields.items()}

    async def events(self) -> AsyncGenerator[Step, None]:
        """Files and their pieces; ends when the form has. Fields are put into `fields` as they come."""
        try:
            parser = multipart.PushMultipartParser(self._boundary, max_segment_count=PARTS)
            beside = 0
            async for piece in self._pieces:
                silent = True
                for event in parser.parse(piece):
                    silent = False
                    for step in self._take(event):
                        yield step
                beside = beside + len(piece) if silent else 0
                if beside > BESIDE_BYTES:
                    raise _malformed("what is sent does not belong to any part of it")
            parser.close()
        except multipart.ParserLimitReached:
            raise _malformed(f"it has more than {PARTS} parts, or a part's head is too long") from None
        except (multipart.MultipartError, UnicodeDecodeError):
            raise _malformed("it breaks the format, or was cut off") from None
        for name, times in self._wanted.items():
            if self._seen[name] < times.least:
                raise _missing(name)

    def _take(self, event: multipart.MultipartSegment | bytes | bytearray | None) -> list[Step]:
        if isinstance(event, multipart.MultipartSegment):
            return self._begin(event)
        if event is None:
            self._end()
            return []
        if self._field is not None:
            self._grow(self._field, event)
            return []
        self._of_file += len(event)
        self._file_bytes += len(event)
        if self._file_bytes > self._limits.file_bytes:
            raise MeshError(
                Reason.REQUEST_TOO_LARGE,
                f"The file is larger than the {self._limits.file_bytes // (1024 * 1024)} MB that this gateway takes; "
                "`upload_size` under [gateway] sets it.",
                metadata={"param": self._file},
            )
        return [bytes(event[at : at + LARGEST_CHUNK]) for at in range(0, len(event), LARGEST_CHUNK)]

    def _begin(self, segment: multipart.MultipartSegment) -> list[Step]:
        name = (segment.name or "").removesuffix("[]")
        if segment.filename is None:
            if self.passed_on:
                raise invalid(
                    "invalid_multipart",
                    f"The field '{ascii(name[:64])[1:-1]}' stands behind the file, which is on its way already: put "
                    "all fields of the form before it.",
                    name[:64],
                )
            if name in self._wanted:
                raise invalid(
                    "invalid_file", f"'{name}' must be a file: its part of the form needs a filename.", name
                )
            self._field = _Field(name)
            return []
        if name not in self._wanted:
            raise invalid(
                "unknown_parameter", f"'{ascii(name[:64])[1:-1]}' is no file that is taken here.", name[:64]
            )
        most = self._wanted[name].most
        if self._seen[name] == most:
            files = "one file" if most == 1 else f"{most} files"
            raise invalid("invalid_multipart", f"'{name}' takes {files}, and more were sent.", name)
        self._seen[name] += 1
        self._file, self._of_file = name, 0
        mime = segment.content_type or ""
        return [inference_pb2.Part(name=name, filename=segment.filename[:255], mime_type=mime[:255])]

    def _end(self) -> None:
        ended, self._field = self._field, None
        if ended is not None:
            self.fields.setdefault(ended.name, []).append(ended.value.decode("utf-8"))
        elif not self._of_file:
            raise invalid("invalid_file", f"'{self._file}' is empty.", self._file)

    def _grow(self, one: _Field, piece: bytes | bytearray) -> None:
        one.value += piece
        self._field_bytes += len(piece)
        if len(one.value) > FIELD_BYTES or self._field_bytes > FIELDS_BYTES:
            raise MeshError(
                Reason.REQUEST_TOO_LARGE,
                f"A field of a form may have {FIELD_BYTES} bytes, and all of them {FIELDS_BYTES}.",
                metadata={"param": ascii(one.name[:64])[1:-1]},
            )


def _missing(name: str) -> MeshError:
    return invalid("missing_required_parameter", f"'{name}' is required: send it as a file.", name)


def _malformed(why: str) -> MeshError:
    return invalid("invalid_multipart", f"The body is no form that can be read: {why}.")
