"""What OpenAI's URLs take and give, for /openapi.json. Answers are the backends' own; these are the parts all have."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType
from nexus_mesh.core import JsonObject
from nexus_operations import AUDIO, SPECS, Form, Operation, Shape

from nexus_gateway.dialects.openai import ocr, pictures, speech, videos
from nexus_gateway.dialects.openai.inference import FinishReason
from nexus_gateway.dialects.openai.models import Model, ModelList
from nexus_gateway.dialects.openai.uploads import ALSO_JSON, Transcription, VerboseTranscription, Word
from nexus_gateway.dialects.own_headers import ASKED, TOLD
from nexus_gateway.http import EVENTS, Call, Content
from nexus_gateway.validation import body_shape, reference_shape

__all__ = ["MODEL", "MODELS", "SPEECH_MODELS", "VIDEO_CALLS", "VOICES", "inference_call"]


class Usage(Struct):
    prompt_tokens: int
    total_tokens: int
    completion_tokens: int | UnsetType = UNSET


class ChatMessage(Struct):
    """`content` is null where tools are called or nothing was said."""

    content: str | None
    role: Literal["assistant"] = "assistant"
    tool_calls: list[JsonObject] | UnsetType | None = UNSET
    reasoning_content: str | UnsetType | None = UNSET


class ChatAnswer(Struct):
    index: int
    message: ChatMessage
    finish_reason: FinishReason


class ChatCompletion(Struct):
    id: str
    created: int
    model: str
    choices: list[ChatAnswer]
    object: Literal["chat.completion"] = "chat.completion"
    usage: Usage | UnsetType | None = UNSET


class TextAnswer(Struct):
    index: int
    text: str
    finish_reason: FinishReason


class Completion(Struct):
    id: str
    created: int
    model: str
    choices: list[TextAnswer]
    object: Literal["text_completion"] = "text_completion"
    usage: Usage | UnsetType | None = UNSET


class Embedding(Struct):
    """A text is the vector's float32 numbers in base64, where `encoding_format` asked for that."""

    index: int
    embedding: list[float] | str
    object: Literal["embedding"] = "embedding"


class EmbeddingList(Struct):
    data: list[Embedding]
    model: str
    usage: Usage
    object: Literal["list"] = "list"


NAME = "llama3.2:3b"
USED = Usage(9, 12, 3)
CHAT = ChatCompletion(
    "chatcmpl-1", 1_764_000_000, NAME, [ChatAnswer(0, ChatMessage("Hello!"), "stop")], usage=USED
)
TEXT = Completion("cmpl-1", 1_764_000_000, NAME, [TextAnswer(0, " there!", "stop")], usage=USED)
VECTOR = EmbeddingList([Embedding(0, [0.5, -0.25])], NAME, Usage(2, 2))
PICTURE = pictures.PictureList(
    1_764_000_000,
    [pictures.Picture("iVBORw0KGgo=", seed=7)],
    "png",
    pictures.Usage(2, 0, 2, pictures.InputDetails(2)),
    "256x256",
)
PICTURE_EVENT = 'event: {kind}\ndata: {{"type":"{kind}","b64_json":"iVBORw0KGgo=","size":"256x256"}}\n\n'
ANSWERS: dict[Form, tuple[type[Struct], Struct]] = {
    Form.MESSAGE: (ChatCompletion, CHAT),
    Form.TEXT: (Completion, TEXT),
    Form.VECTOR: (EmbeddingList, VECTOR),
    Form.FILE: (pictures.PictureList, PICTURE),
}

MODELS = Call(
    "GET",
    "The models that this key can ask for now.",
    (Content(ModelList, ModelList([Model(NAME, 0, "library")])),),
)
VOICE = speech.Voice("en-us", "English (America)", ["en-us", "en"], ["espeak-ng"])
VOICES = Call(
    "GET",
    "The voices that this key can ask for now, and whose they are.",
    (Content(speech.VoiceList, speech.VoiceList([VOICE])),),
)
SPEECH_MODELS = Call(
    "GET",
    "The models that speak.",
    (Content(speech.SpeechModelList, speech.SpeechModelList([speech.SpeechModel("espeak-ng")])),),
)
MODEL = Call("GET", "One model.", (Content(Model, Model(NAME, 0, "library")),))


def inference_call(operation: int) -> Call:
    """Of one operation's route."""
    spec = SPECS[operation]
    if spec.shape is Shape.UPLOAD:
        return _upload_call(operation)
    answers = (Content(*ANSWERS[spec.form]),) if spec.form in ANSWERS else (Content({"type": "object"}),)
    name = NAME
    if spec.form is Form.BYTES:
        name, answers = "espeak-ng", tuple(Content(None, media=media) for media in AUDIO.values())
        answers += (Content(None, f'{speech.DELTA.decode()}UklGRg=="}}\n\n', EVENTS),)
    if spec.form is Form.FILE:
        name = "nexus-painter"
        answers += _picture_events(operation)
    if spec.shape is Shape.CHUNKS:
        chunk = {"id": f"{spec.id_prefix}1", "object": spec.chunk_object, "choices": []}
        events = b"data: " + msgspec.json.encode(chunk) + b"\n\ndata: [DONE]\n\n"
        answers += (Content(None, events.decode(), EVENTS),)
    return Call(
        "POST",
        f"Make {spec.title}.",
        answers,
        body=Content(body_shape(operation), {"model": name, **spec.example("Hello")}),
        asked=ASKED,
        told={told.name: told.about for told in TOLD},
    )


HEARD = Transcription("Hello there!")
TIMED = VerboseTranscription("english", 1.5, "Hello there!", words=[Word("Hello", 0.2, 0.6)])
SUBTITLES = "1\n00:00:00,200 --> 00:00:01,400\nHello there!\n"


def _upload_call(operation: int) -> Call:
    """Of one that takes a form with files."""
    spec, shape = SPECS[operation], body_shape(operation)
    if operation == Operation.OCR:
        return _ocr_call(shape)
    if spec.form is Form.FILE:
        return Call(
            "POST",
            f"Make {spec.title}.",
            (Content(*ANSWERS[spec.form]), *_picture_events(operation)),
            body=Content(shape, None, "multipart/form-data"),
            or_body=Content(reference_shape(shape)) if operation in ALSO_JSON else None,
            asked=ASKED,
            told={told.name: told.about for told in TOLD},
        )
    answers = (
        Content(Transcription, HEARD),
        Content(VerboseTranscription, TIMED),
        Content(None, SUBTITLES, "text/plain"),
    )
    if "stream" in shape["properties"]:
        delta = {"type": "transcript.text.delta", "delta": "Hello there!"}
        done = {"type": "transcript.text.done", "text": "Hello there!"}
        told = b"".join(b"data: " + msgspec.json.encode(each) + b"\n\n" for each in (delta, done))
        answers += (Content(None, f"{told.decode()}data: [DONE]\n\n", EVENTS),)
    return Call(
        "POST",
        f"Make {spec.title} of a recording.",
        answers,
        body=Content(shape, None, "multipart/form-data"),
        asked=ASKED,
        told={told.name: told.about for told in TOLD},
    )


def _picture_events(operation: int) -> tuple[Content, ...]:
    if operation not in pictures.STREAMED:
        return ()
    kind = pictures.STREAMED[operation] + pictures.COMPLETED
    return (Content(None, PICTURE_EVENT.format(kind=kind), EVENTS),)


LINE = ocr.Line("Hello there!", 0.99, [[80.0, 90.0], [410.0, 90.0], [410.0, 130.0], [80.0, 130.0]])
PAGE = ocr.Page(0, "Hello there!", ocr.Dimensions(200, 2339, 1654), "Hello there!", "ocr", [LINE])
READ = ocr.Reading([PAGE], "rapidocr", ocr.UsageInfo(1, 48_213))


def _ocr_call(shape: JsonObject) -> Call:
    """Of documents: a form with a file, or an object with a data: URL."""
    page = msgspec.json.encode({"type": ocr.PAGE, "done": 1, "total": 1, "page": PAGE}).decode()
    return Call(
        "POST",
        "Read the text of a picture or PDF.",
        (
            Content(ocr.Reading, READ),
            Content(None, "Hello there!\n", "text/markdown"),
            Content(None, "Hello there!\n", "text/plain"),
            Content(None, f"data: {page}\n\ndata: [DONE]\n\n", EVENTS),
        ),
        body=Content(shape, None, "multipart/form-data"),
        asked=ASKED,
        told={told.name: told.about for told in TOLD},
    )


VIDEO_ID = "video_5f0c9d5b8e3f4a1db6c7e8f90a1b2c3d"
CLIP = videos.Video(VIDEO_ID, "wan2.2", "in_progress", 42, 1_764_000_000, "1280x720", "4", "A lake at dawn")
CLIPS = videos.VideoList([CLIP], VIDEO_ID, VIDEO_ID, False)
CLIP_EVENT = (
    "event: video.in_progress\ndata: "
    + msgspec.json.encode({"type": "video.in_progress", "video": CLIP}).decode()
    + "\n\n"
)
REMIX = {
    "title": "RemixRequest",
    "type": "object",
    "required": ["prompt"],
    "properties": {"prompt": {"type": "string", "minLength": 1, "maxLength": 32_000}},
}
VIDEO = body_shape(Operation.VIDEO)
VIDEO_FORM = {
    **VIDEO,
    "title": "VideoForm",
    "properties": {**VIDEO["properties"], "input_reference": {"type": "string", "format": "binary"}},
}
VIDEO_CALLS: dict[str, tuple[Call, ...]] = {
    "videos": (
        Call(
            "POST",
            "Have a video made: it is queued, and goes on without you. As a form too, with the picture it begins with.",
            (Content(videos.Video, CLIP),),
            body=Content(VIDEO, {"model": "wan2.2", "prompt": "A lake at dawn"}),
            or_body=Content(VIDEO_FORM, None, "multipart/form-data"),
            asked=ASKED,
        ),
        Call(
            "GET",
            "Your videos, the newest first.",
            (Content(videos.VideoList, CLIPS),),
            query={
                "after": "The id of the last one of the page before.",
                "limit": "How many, 1 to 100; 20 by default.",
                "order": "asc = the oldest first; desc is the default.",
            },
        ),
    ),
    "video": (
        Call(
            "GET",
            "How a video stands.",
            (Content(videos.Video, CLIP), Content(None, CLIP_EVENT, EVENTS)),
            query={"stream": "true = an event for each change, up to its end."},
        ),
        Call(
            "DELETE",
            "Stop a video that is not there yet, and remove it.",
            (Content(videos.DeletedVideo, videos.DeletedVideo(VIDEO_ID)),),
        ),
    ),
    "content": (
        Call(
            "GET",
            "The bytes of a video that is completed.",
            (
                Content(None, "the bytes of an MP4", "video/mp4"),
                Content(None, media="image/webp"),
                Content(None, media="image/jpeg"),
            ),
            query={"variant": "video, thumbnail or spritesheet; the latter two where the engine makes them."},
            asked={b"range": "bytes=FIRST-LAST: a part of it, answered with 206."},
        ),
    ),
    "remix": (
        Call(
            "POST",
            "Have a video made anew by another prompt, where its engine can.",
            (Content(videos.Video, CLIP),),
            body=Content(REMIX, {"prompt": "A lake at dusk"}),
        ),
    ),
}
