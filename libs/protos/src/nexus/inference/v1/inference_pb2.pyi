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
    __slots__ = ("chunks", "progress", "finish", "served")
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    chunks: Chunks
    progress: Progress
    finish: Finish
    served: Served
    def __init__(self, chunks: _Optional[_Union[Chunks, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., finish: _Optional[_Union[Finish, _Mapping]] = ..., served: _Optional[_Union[Served, _Mapping]] = ...) -> None: ...

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
    __slots__ = ("operation", "model", "body", "backend", "request_id", "zone", "continues", "priority", "granted", "on_behalf_of")
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    CONTINUES_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    ON_BEHALF_OF_FIELD_NUMBER: _ClassVar[int]
    operation: _model_pb2.Operation
    model: str
    body: str
    backend: str
    request_id: str
    zone: str
    continues: bool
    priority: Priority
    granted: _containers.RepeatedScalarFieldContainer[str]
    on_behalf_of: str
    def __init__(self, operation: _Optional[_Union[_model_pb2.Operation, str]] = ..., model: _Optional[str] = ..., body: _Optional[str] = ..., backend: _Optional[str] = ..., request_id: _Optional[str] = ..., zone: _Optional[str] = ..., continues: _Optional[bool] = ..., priority: _Optional[_Union[Priority, str]] = ..., granted: _Optional[_Iterable[str]] = ..., on_behalf_of: _Optional[str] = ...) -> None: ...

class Chunks(_message.Message):
    __slots__ = ("json",)
    JSON_FIELD_NUMBER: _ClassVar[int]
    json: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, json: _Optional[_Iterable[str]] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("phase", "done", "total")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    phase: str
    done: int
    total: int
    def __init__(self, phase: _Optional[str] = ..., done: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class Finish(_message.Message):
    __slots__ = ("usage",)
    USAGE_FIELD_NUMBER: _ClassVar[int]
    usage: Usage
    def __init__(self, usage: _Optional[_Union[Usage, _Mapping]] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    REASONING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    def __init__(self, prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., cached_tokens: _Optional[int] = ..., reasoning_tokens: _Optional[int] = ...) -> None: ...

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
