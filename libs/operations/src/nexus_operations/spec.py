"""What has to be known of a kind of work before any of it can be routed, counted, run or billed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from types import MappingProxyType
from typing import Any

__all__ = ["Body", "Form", "IncompleteError", "Prompt", "Shape", "Spec", "Times", "Unit", "complete"]

Body = Mapping[str, Any]
"""A request object. Nobody may have checked it yet: what reads it takes any JSON."""


class Shape(Enum):
    """How a request and its answer travel."""

    WHOLE = "whole"
    """One object for one object."""
    CHUNKS = "chunks"
    """One object for one object, or for pieces of it as they are made."""
    MEDIA = "media"
    """One object for bytes."""
    UPLOAD = "upload"
    """One object and files, for one object or bytes."""
    DUPLEX = "duplex"
    """Both ways at once."""


class Form(Enum):
    """What a row of the answer is."""

    MESSAGE = "message"
    """A choice with a message, or with deltas of one."""
    TEXT = "text"
    """A choice with a text, or with pieces of one."""
    VECTOR = "vector"
    """An embedding."""
    OBJECT = "object"
    """Anything else; it is handed on as it came."""
    FILE = "file"
    """An output, and what is known of it: the edge writes the object that holds them all."""
    BYTES = "bytes"
    """Nothing: the answer is one output, and its bytes are all of it."""


class Unit(Enum):
    """What is counted of it: a field of nexus.inference.v1.Usage."""

    PROMPT_TOKENS = "prompt_tokens"
    COMPLETION_TOKENS = "completion_tokens"
    INPUT_SECONDS = "input_seconds"
    INPUT_CHARACTERS = "input_characters"
    OUTPUT_SECONDS = "output_seconds"
    INPUT_IMAGES = "input_images"
    OUTPUT_IMAGES = "output_images"


@dataclass(frozen=True, slots=True)
class Times:
    """How many files of one name come with a request."""

    least: int = 1
    most: int = 1


@dataclass(frozen=True, slots=True)
class Prompt:
    """What there is to read in a body."""

    texts: list[str]
    ids: int = 0
    """Tokens that came as numbers."""
    media: int = 0
    """Pictures, recordings and files."""
    marks: int = 0
    """Tokens a template puts around it."""
    several: bool = False
    """Whether each text has the context to itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One kind of work. No part has a default: to leave one out is a mistake at import, never a wrong value later."""

    number: int
    """In nexus.types.v1.Operation."""
    name: str
    """As settings, metrics and people call it: the number's name there, in lower case."""
    title: str
    """With its article, in sentences: a chat completion."""
    path: str
    """Below /v1, at our edge and at engines that speak OpenAI's API."""
    shape: Shape
    form: Form
    rows: str
    """The key of an answer whose list has one row for each that is expected; empty = the answer is no object."""
    id_prefix: str
    """Of an answer's id; empty = it has none."""
    object: str
    """An answer's word for what it is; empty = the answer is no object."""
    chunk_object: str
    """The same of a piece of it; empty = it never comes in pieces."""
    content: str
    """The parameter that holds the prompt, and by which a body without a URL is known."""
    files: Mapping[str, Times]
    """The files that come with it, by name: how many of each."""
    inputs: frozenset[str]
    """All parameters that hold what is to be worked on; engines are sent them, and no others that are on no list."""
    read: Callable[[Body], Prompt]
    head: Callable[[Body], str]
    """The text by whose beginning requests are alike; empty = it does not matter who has read the like of it."""
    most: Callable[[Body], int | None]
    """Tokens of one row at most, as asked for: negative = without a limit, None = not said."""
    expected: Callable[[Body], int]
    """How many rows the answer must have."""
    has_content: Callable[[Body], bool]
    """Whether a row, or a piece of one, is an answer yet."""
    resumable: bool
    """Whether another backend may go on with a cut answer."""
    scrubbable: bool
    """Whether its texts can be replaced and still mean the same work."""
    units: frozenset[Unit]
    example: Callable[[str], Body]
    """A least body with a text to read, without the model's name."""

    @property
    def generates(self) -> bool:
        """Whether an answer takes room in the context beside the prompt."""
        return Unit.COMPLETION_TOKENS in self.units

    @property
    def makes_bytes(self) -> bool:
        """Whether its answer is outputs: pictures, sound."""
        return self.form in (Form.FILE, Form.BYTES)


class IncompleteError(Exception):
    """The table of operations has a hole. Nothing may start with it."""


def complete(specs: Iterable[Spec], numbers: Mapping[str, int]) -> Mapping[int, Spec]:
    """The specs by number. `numbers`: the contract's, by their names there.

    Raises IncompleteError with a sentence that names the operation and the part.
    """
    names = {number: name.removeprefix("OPERATION_").lower() for name, number in numbers.items() if number}
    table: dict[int, Spec] = {}
    for spec in specs:
        if names.get(spec.number) != spec.name:
            raise _incomplete(
                spec.name, "its number and its name are not together in nexus.types.v1.Operation"
            )
        if spec.number in table:
            raise _incomplete(spec.name, "it has two specs")
        _check_parts(spec)
        _check_reading(spec)
        table[spec.number] = spec
    for number, name in names.items():
        if number not in table:
            raise _incomplete(name, "it has no spec: add one to nexus_operations/table.py")
    if len({spec.path for spec in table.values()}) < len(table):
        raise IncompleteError("Two operations have one path.")
    return MappingProxyType(table)


EMPTY_IS_SAID = frozenset({"id_prefix", "chunk_object", "files"})
MAY_BE_EMPTY = {Form.BYTES: frozenset({"rows", "object"}), Form.FILE: frozenset({"object"})}
TEXT = "some words to read"


def _check_parts(spec: Spec) -> None:
    may_be_empty = EMPTY_IS_SAID | MAY_BE_EMPTY.get(spec.form, frozenset())
    for part in fields(spec):
        value: object = getattr(spec, part.name)
        if value is None or (value in ("", frozenset(), {}) and part.name not in may_be_empty):
            raise _incomplete(spec.name, f"its part `{part.name}` is missing")
    if spec.shape is Shape.CHUNKS and not spec.chunk_object:
        raise _incomplete(spec.name, "it comes in chunks, and its part `chunk_object` is missing")
    if spec.shape is Shape.UPLOAD and not any(times.least for times in spec.files.values()):
        raise _incomplete(spec.name, "it comes with bytes, and its part `files` is missing")


def _check_reading(spec: Spec) -> None:
    """Its functions are tried: one that finds nothing to read would count every prompt as nothing."""
    body = spec.example(TEXT)
    if spec.content not in spec.inputs:
        raise _incomplete(spec.name, f"its part `inputs` lacks `{spec.content}`")
    if spec.content not in body:
        raise _incomplete(spec.name, f"its part `example` makes a body without `{spec.content}`")
    if TEXT not in spec.read(body).texts:
        raise _incomplete(spec.name, "its part `read` does not find the text of its part `example`")
    if spec.expected(body) < 1:
        raise _incomplete(spec.name, "its part `expected` expects no row of an answer")
    most = spec.most(body)
    if not spec.generates and most != 0:
        raise _incomplete(spec.name, "it makes no tokens, and its part `most` says otherwise")
    if spec.generates and most == 0:
        raise _incomplete(spec.name, "it makes tokens, and its part `most` says otherwise")
    if spec.head(body) not in ("", TEXT):
        raise _incomplete(spec.name, "its part `head` is not the text of its part `example`")


def _incomplete(name: str, why: str) -> IncompleteError:
    return IncompleteError(f"Operation {name}: {why}.")
