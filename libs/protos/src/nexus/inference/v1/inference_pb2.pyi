from nexus.types.v1 import model_pb2 as _model_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_LOW: _ClassVar[Priority]
    PRIORITY_NORMAL: _ClassVar[Priority]
    PRIORITY_HIGH: _ClassVar[Priority]

class RouteReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROUTE_REASON_UNSPECIFIED: _ClassVar[RouteReason]
    ROUTE_REASON_CAPABILITY_MATCH: _ClassVar[RouteReason]
    ROUTE_REASON_PRIVACY_REQUIREMENT: _ClassVar[RouteReason]
    ROUTE_REASON_FAILOVER: _ClassVar[RouteReason]
    ROUTE_REASON_CAPACITY_OVERFLOW: _ClassVar[RouteReason]
    ROUTE_REASON_RESUMED: _ClassVar[RouteReason]
    ROUTE_REASON_PRIVACY_SCRUBBED: _ClassVar[RouteReason]
PRIORITY_UNSPECIFIED: Priority
PRIORITY_LOW: Priority
PRIORITY_NORMAL: Priority
PRIORITY_HIGH: Priority
ROUTE_REASON_UNSPECIFIED: RouteReason
ROUTE_REASON_CAPABILITY_MATCH: RouteReason
ROUTE_REASON_PRIVACY_REQUIREMENT: RouteReason
ROUTE_REASON_FAILOVER: RouteReason
ROUTE_REASON_CAPACITY_OVERFLOW: RouteReason
ROUTE_REASON_RESUMED: RouteReason
ROUTE_REASON_PRIVACY_SCRUBBED: RouteReason

class CompleteRequest(_message.Message):
    __slots__ = ("envelope",)
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    envelope: Envelope
    def __init__(self, envelope: _Optional[_Union[Envelope, _Mapping]] = ...) -> None: ...

class CompleteResponse(_message.Message):
    __slots__ = ("body", "usage", "served")
    BODY_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    body: str
    usage: Usage
    served: Served
    def __init__(self, body: _Optional[str] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., served: _Optional[_Union[Served, _Mapping]] = ...) -> None: ...

class StreamRequest(_message.Message):
    __slots__ = ("envelope",)
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    envelope: Envelope
    def __init__(self, envelope: _Optional[_Union[Envelope, _Mapping]] = ...) -> None: ...

class StreamResponse(_message.Message):
    __slots__ = ("chunks", "progress", "finish", "media", "answer", "served")
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    MEDIA_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    chunks: Chunks
    progress: Progress
    finish: Finish
    media: Media
    answer: Answer
    served: Served
    def __init__(self, chunks: _Optional[_Union[Chunks, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., finish: _Optional[_Union[Finish, _Mapping]] = ..., media: _Optional[_Union[Media, _Mapping]] = ..., answer: _Optional[_Union[Answer, _Mapping]] = ..., served: _Optional[_Union[Served, _Mapping]] = ...) -> None: ...

class UploadRequest(_message.Message):
    __slots__ = ("start", "part", "chunk", "event", "end")
    START_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    start: UploadStart
    part: Part
    chunk: bytes
    event: str
    end: UploadEnd
    def __init__(self, start: _Optional[_Union[UploadStart, _Mapping]] = ..., part: _Optional[_Union[Part, _Mapping]] = ..., chunk: _Optional[bytes] = ..., event: _Optional[str] = ..., end: _Optional[_Union[UploadEnd, _Mapping]] = ...) -> None: ...

class UploadStart(_message.Message):
    __slots__ = ("envelope", "stream")
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    envelope: Envelope
    stream: bool
    def __init__(self, envelope: _Optional[_Union[Envelope, _Mapping]] = ..., stream: _Optional[bool] = ...) -> None: ...

class Part(_message.Message):
    __slots__ = ("name", "filename", "mime_type", "size")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    MIME_TYPE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    name: str
    filename: str
    mime_type: str
    size: int
    def __init__(self, name: _Optional[str] = ..., filename: _Optional[str] = ..., mime_type: _Optional[str] = ..., size: _Optional[int] = ...) -> None: ...

class UploadEnd(_message.Message):
    __slots__ = ("size",)
    SIZE_FIELD_NUMBER: _ClassVar[int]
    size: int
    def __init__(self, size: _Optional[int] = ...) -> None: ...

class UploadResponse(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: StreamResponse
    def __init__(self, event: _Optional[_Union[StreamResponse, _Mapping]] = ...) -> None: ...

class CountTokensRequest(_message.Message):
    __slots__ = ("envelope",)
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    envelope: Envelope
    def __init__(self, envelope: _Optional[_Union[Envelope, _Mapping]] = ...) -> None: ...

class CountTokensResponse(_message.Message):
    __slots__ = ("prompt_tokens", "estimated", "method", "served")
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    prompt_tokens: int
    estimated: bool
    method: str
    served: Served
    def __init__(self, prompt_tokens: _Optional[int] = ..., estimated: _Optional[bool] = ..., method: _Optional[str] = ..., served: _Optional[_Union[Served, _Mapping]] = ...) -> None: ...

class Envelope(_message.Message):
    __slots__ = ("operation", "model", "body", "backend", "request_id", "zone", "continues", "priority", "granted")
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    CONTINUES_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    operation: _model_pb2.Operation
    model: str
    body: str
    backend: str
    request_id: str
    zone: str
    continues: bool
    priority: Priority
    granted: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, operation: _Optional[_Union[_model_pb2.Operation, str]] = ..., model: _Optional[str] = ..., body: _Optional[str] = ..., backend: _Optional[str] = ..., request_id: _Optional[str] = ..., zone: _Optional[str] = ..., continues: _Optional[bool] = ..., priority: _Optional[_Union[Priority, str]] = ..., granted: _Optional[_Iterable[str]] = ...) -> None: ...

class Chunks(_message.Message):
    __slots__ = ("json",)
    JSON_FIELD_NUMBER: _ClassVar[int]
    json: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, json: _Optional[_Iterable[str]] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("phase", "done", "total", "unit", "index", "ahead", "remaining_seconds")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    AHEAD_FIELD_NUMBER: _ClassVar[int]
    REMAINING_SECONDS_FIELD_NUMBER: _ClassVar[int]
    phase: str
    done: int
    total: int
    unit: str
    index: int
    ahead: int
    remaining_seconds: float
    def __init__(self, phase: _Optional[str] = ..., done: _Optional[int] = ..., total: _Optional[int] = ..., unit: _Optional[str] = ..., index: _Optional[int] = ..., ahead: _Optional[int] = ..., remaining_seconds: _Optional[float] = ...) -> None: ...

class Media(_message.Message):
    __slots__ = ("data", "index", "preview", "mime_type", "size", "last", "json")
    DATA_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_FIELD_NUMBER: _ClassVar[int]
    MIME_TYPE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    index: int
    preview: int
    mime_type: str
    size: int
    last: bool
    json: str
    def __init__(self, data: _Optional[bytes] = ..., index: _Optional[int] = ..., preview: _Optional[int] = ..., mime_type: _Optional[str] = ..., size: _Optional[int] = ..., last: _Optional[bool] = ..., json: _Optional[str] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("body", "mime_type")
    BODY_FIELD_NUMBER: _ClassVar[int]
    MIME_TYPE_FIELD_NUMBER: _ClassVar[int]
    body: str
    mime_type: str
    def __init__(self, body: _Optional[str] = ..., mime_type: _Optional[str] = ...) -> None: ...

class Finish(_message.Message):
    __slots__ = ("usage",)
    USAGE_FIELD_NUMBER: _ClassVar[int]
    usage: Usage
    def __init__(self, usage: _Optional[_Union[Usage, _Mapping]] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens", "prompt_image_tokens", "prompt_audio_tokens", "completion_audio_tokens", "input_seconds", "output_seconds", "input_characters", "input_images", "output_images", "input_pages")
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    REASONING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_IMAGE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_AUDIO_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_AUDIO_TOKENS_FIELD_NUMBER: _ClassVar[int]
    INPUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    INPUT_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    INPUT_IMAGES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_IMAGES_FIELD_NUMBER: _ClassVar[int]
    INPUT_PAGES_FIELD_NUMBER: _ClassVar[int]
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    prompt_image_tokens: int
    prompt_audio_tokens: int
    completion_audio_tokens: int
    input_seconds: float
    output_seconds: float
    input_characters: int
    input_images: int
    output_images: int
    input_pages: int
    def __init__(self, prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., cached_tokens: _Optional[int] = ..., reasoning_tokens: _Optional[int] = ..., prompt_image_tokens: _Optional[int] = ..., prompt_audio_tokens: _Optional[int] = ..., completion_audio_tokens: _Optional[int] = ..., input_seconds: _Optional[float] = ..., output_seconds: _Optional[float] = ..., input_characters: _Optional[int] = ..., input_images: _Optional[int] = ..., output_images: _Optional[int] = ..., input_pages: _Optional[int] = ...) -> None: ...

class Served(_message.Message):
    __slots__ = ("model", "backend", "instance", "kind", "zone", "attempts", "route_reason", "fallback_model", "dropped_tier", "scrubbed", "cost_dollars")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    ROUTE_REASON_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_MODEL_FIELD_NUMBER: _ClassVar[int]
    DROPPED_TIER_FIELD_NUMBER: _ClassVar[int]
    SCRUBBED_FIELD_NUMBER: _ClassVar[int]
    COST_DOLLARS_FIELD_NUMBER: _ClassVar[int]
    model: str
    backend: str
    instance: str
    kind: str
    zone: str
    attempts: int
    route_reason: RouteReason
    fallback_model: str
    dropped_tier: str
    scrubbed: int
    cost_dollars: float
    def __init__(self, model: _Optional[str] = ..., backend: _Optional[str] = ..., instance: _Optional[str] = ..., kind: _Optional[str] = ..., zone: _Optional[str] = ..., attempts: _Optional[int] = ..., route_reason: _Optional[_Union[RouteReason, str]] = ..., fallback_model: _Optional[str] = ..., dropped_tier: _Optional[str] = ..., scrubbed: _Optional[int] = ..., cost_dollars: _Optional[float] = ...) -> None: ...
