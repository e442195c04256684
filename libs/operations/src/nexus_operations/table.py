"""The table of operations, and what is asked of a body by its operation. To add one: its number in inference's types,
and its spec here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from types import MappingProxyType
from zlib import crc32

from nexus.types.v1 import model_pb2  # pyright: ignore[reportMissingTypeStubs] - generated, with stubs beside it

from nexus_operations.counting import quarters_of, tokens_of
from nexus_operations.prompts import (
    HEAD,
    MESSAGE,
    TURN,
    begins_chat,
    begins_with,
    choices_of,
    limit_of,
    nothing_made,
    prompts_in,
    read_chat,
    read_texts,
    says_delta,
    says_text,
    whole_is_content,
)
from nexus_operations.spec import Body, Form, Prompt, Shape, Spec, Times, Unit, complete

__all__ = [
    "ANSWER_BEGINS",
    "AUDIO",
    "PER_MEDIUM",
    "PER_MESSAGE",
    "PICTURES",
    "SPECS",
    "Operation",
    "Size",
    "affinity",
    "estimate",
    "measure",
    "spec_of",
]  # fmt: skip

PER_MESSAGE, ANSWER_BEGINS = MESSAGE, TURN
PER_MEDIUM = 500
"""An image or a recording: engines differ widely."""
MOST_PICTURES = 16
"""Of one edit: OpenAI's."""
LEAST = 512
"""Characters of a head. What is shorter is read again in no time."""


class Operation(IntEnum):
    """The numbers of nexus.types.v1.Operation by names that type checkers know."""

    CHAT = model_pb2.OPERATION_CHAT
    COMPLETION = model_pb2.OPERATION_COMPLETION
    EMBEDDING = model_pb2.OPERATION_EMBEDDING
    TRANSCRIPTION = model_pb2.OPERATION_TRANSCRIPTION
    TRANSLATION = model_pb2.OPERATION_TRANSLATION
    SPEECH = model_pb2.OPERATION_SPEECH
    IMAGE = model_pb2.OPERATION_IMAGE
    IMAGE_EDIT = model_pb2.OPERATION_IMAGE_EDIT
    IMAGE_VARIATION = model_pb2.OPERATION_IMAGE_VARIATION
    OCR = model_pb2.OPERATION_OCR
    VIDEO = model_pb2.OPERATION_VIDEO


TOKENS = frozenset({Unit.PROMPT_TOKENS, Unit.COMPLETION_TOKENS})
NO_FILES: Mapping[str, Times] = MappingProxyType({})
TEXT_MAX_TOKENS = 16
"""What OpenAI makes of a text completion without max_tokens."""

CHAT = Spec(
    number=Operation.CHAT,
    name="chat",
    title="a chat completion",
    path="/chat/completions",
    shape=Shape.CHUNKS,
    form=Form.MESSAGE,
    rows="choices",
    id_prefix="chatcmpl-",
    object="chat.completion",
    chunk_object="chat.completion.chunk",
    content="messages",
    files=NO_FILES,
    inputs=frozenset({"messages", "tools", "functions"}),
    read=read_chat,
    head=begins_chat,
    most=limit_of("max_completion_tokens", "max_tokens", unsaid=None),
    expected=choices_of(),
    has_content=says_delta,
    resumable=True,
    scrubbable=True,
    units=TOKENS,
    example=lambda text: {"messages": [{"role": "user", "content": text}]},
)
COMPLETION = Spec(
    number=Operation.COMPLETION,
    name="completion",
    title="a completion",
    path="/completions",
    shape=Shape.CHUNKS,
    form=Form.TEXT,
    rows="choices",
    id_prefix="cmpl-",
    object="text_completion",
    chunk_object="text_completion",
    content="prompt",
    files=NO_FILES,
    inputs=frozenset({"prompt", "suffix"}),
    read=read_texts("prompt", "suffix"),
    head=begins_with("prompt"),
    most=limit_of("max_completion_tokens", "max_tokens", unsaid=TEXT_MAX_TOKENS),
    expected=choices_of("prompt"),
    has_content=says_text,
    resumable=False,
    scrubbable=True,
    units=TOKENS,
    example=lambda text: {"prompt": text},
)
EMBEDDING = Spec(
    number=Operation.EMBEDDING,
    name="embedding",
    title="an embedding",
    path="/embeddings",
    shape=Shape.WHOLE,
    form=Form.VECTOR,
    rows="data",
    id_prefix="",
    object="list",
    chunk_object="",
    content="input",
    files=NO_FILES,
    inputs=frozenset({"input"}),
    read=read_texts("input"),
    head=lambda _: "",
    most=nothing_made,
    expected=lambda body: prompts_in(body.get("input")),
    has_content=whole_is_content,
    resumable=False,
    scrubbable=True,
    units=frozenset({Unit.PROMPT_TOKENS}),
    example=lambda text: {"input": text},
)
TRANSCRIPTION = Spec(
    number=Operation.TRANSCRIPTION,
    name="transcription",
    title="a transcription",
    path="/audio/transcriptions",
    shape=Shape.UPLOAD,
    form=Form.OBJECT,
    rows="segments",
    id_prefix="",
    object="transcription",
    chunk_object="",
    content="prompt",
    files=MappingProxyType({"file": Times()}),
    inputs=frozenset({"prompt"}),
    read=read_texts("prompt"),
    head=lambda _: "",
    most=nothing_made,
    expected=lambda _: 1,
    has_content=whole_is_content,
    resumable=False,
    scrubbable=False,
    units=frozenset({Unit.INPUT_SECONDS}),
    example=lambda text: {"prompt": text},
)
TRANSLATION = replace(
    TRANSCRIPTION,
    number=Operation.TRANSLATION,
    name="translation",
    title="a translation",
    path="/audio/translations",
    object="translation",
)
SPEECH = Spec(
    number=Operation.SPEECH,
    name="speech",
    title="speech",
    path="/audio/speech",
    shape=Shape.MEDIA,
    form=Form.BYTES,
    rows="",
    id_prefix="",
    object="",
    chunk_object="",
    content="input",
    files=NO_FILES,
    inputs=frozenset({"input", "instructions"}),
    read=read_texts("input", "instructions"),
    head=lambda _: "",
    most=nothing_made,
    expected=lambda _: 1,
    has_content=whole_is_content,
    resumable=False,
    scrubbable=False,
    units=frozenset({Unit.INPUT_CHARACTERS, Unit.OUTPUT_SECONDS}),
    example=lambda text: {"input": text, "voice": "en-us"},
)
IMAGE = Spec(
    number=Operation.IMAGE,
    name="image",
    title="a picture",
    path="/images/generations",
    shape=Shape.MEDIA,
    form=Form.FILE,
    rows="data",
    id_prefix="",
    object="",
    chunk_object="",
    content="prompt",
    files=NO_FILES,
    inputs=frozenset({"prompt"}),
    read=read_texts("prompt"),
    head=lambda _: "",
    most=nothing_made,
    expected=choices_of(),
    has_content=whole_is_content,
    resumable=False,
    scrubbable=False,
    units=frozenset({Unit.OUTPUT_IMAGES}),
    example=lambda text: {"prompt": text, "size": "auto"},
)
IMAGE_EDIT = replace(
    IMAGE,
    number=Operation.IMAGE_EDIT,
    name="image_edit",
    title="an edited picture",
    path="/images/edits",
    shape=Shape.UPLOAD,
    files=MappingProxyType({"image": Times(most=MOST_PICTURES), "mask": Times(least=0)}),
)
IMAGE_VARIATION = replace(
    IMAGE_EDIT,
    number=Operation.IMAGE_VARIATION,
    name="image_variation",
    title="a variation of a picture",
    path="/images/variations",
    files=MappingProxyType({"image": Times()}),
)
OCR = replace(
    TRANSCRIPTION,
    number=Operation.OCR,
    name="ocr",
    title="OCR",
    path="/ocr",
    rows="pages",
    object="ocr",
    units=frozenset({Unit.INPUT_PAGES}),
)
VIDEO = Spec(
    number=Operation.VIDEO,
    name="video",
    title="a video",
    path="/videos",
    shape=Shape.MEDIA,
    form=Form.FILE,
    rows="data",
    id_prefix="video_",
    object="video",
    chunk_object="",
    content="prompt",
    files=NO_FILES,
    inputs=frozenset({"prompt", "input_reference"}),
    read=read_texts("prompt"),
    head=lambda _: "",
    most=nothing_made,
    expected=lambda _: 1,
    has_content=whole_is_content,
    resumable=False,
    scrubbable=False,
    units=frozenset({Unit.OUTPUT_SECONDS}),
    example=lambda text: {"prompt": text, "seconds": "4"},
)
PICTURES: Mapping[str, str] = MappingProxyType(
    {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
)
"""Media types of pictures by OpenAI's `output_format`."""
AUDIO: Mapping[str, str] = MappingProxyType(
    {
        "mp3": "audio/mpeg",
        "opus": "audio/ogg",
        "aac": "audio/aac",
        "flac": "audio/flac",
        "wav": "audio/wav",
        "pcm": "audio/pcm",
    }
)
"""Media types of sound, without parameters, by OpenAI's `response_format`."""
SPECS: Mapping[int, Spec] = complete(
    (
        CHAT,
        COMPLETION,
        EMBEDDING,
        TRANSCRIPTION,
        TRANSLATION,
        SPEECH,
        IMAGE,
        IMAGE_EDIT,
        IMAGE_VARIATION,
        OCR,
        VIDEO,
    ),
    dict(model_pb2.Operation.items()),
)
"""By number. Whatever has one, but UNSPECIFIED, is here."""


def spec_of(operation: int) -> Spec:
    """Raises LookupError for a number that is none: whoever takes one from outside checks it against SPECS."""
    try:
        return SPECS[operation]
    except KeyError:
        raise LookupError(f"There is no operation {operation}.") from None


@dataclass(frozen=True, slots=True)
class Size:
    """`tokens`: about how many all prompts are together. `most`: no prompt worth counting has more that must fit into
    a context together; 0 = of several prompts each has the context to itself, and none is in doubt."""

    tokens: int
    most: int


def estimate(operation: int, body: Body, count: Callable[[str], int] = tokens_of) -> int:
    """Tokens of a request's prompt, of all prompts together. Takes any JSON object, as nobody has checked it yet."""
    prompt = spec_of(operation).read(body)
    return sum(map(count, prompt.texts)) + _beside(prompt)


def measure(operation: int, body: Body) -> Size:
    """The same, and how many there can be, from one reading."""
    prompt = spec_of(operation).read(body)
    quarters = [quarters_of(text) for text in prompt.texts]
    most = 0 if prompt.several else -(-sum(quarters) // 2) + prompt.ids  # twice what it is on average
    return Size(sum(-(-each // 4) for each in quarters) + _beside(prompt), most)


def affinity(operation: int, body: Body) -> int:
    """Equal for requests whose prompts begin alike, as in the turns of one conversation; 0 for short prompts."""
    head = spec_of(operation).head(body)
    if len(head) < LEAST:
        return 0
    return crc32(head[:HEAD].encode("utf-8", "surrogatepass")) or 1


def _beside(prompt: Prompt) -> int:
    """Tokens of all that is no text."""
    return prompt.ids + PER_MEDIUM * prompt.media + prompt.marks
