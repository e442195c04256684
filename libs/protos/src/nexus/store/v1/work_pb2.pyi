import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from nexus.inference.v1 import inference_pb2 as _inference_pb2
from nexus.types.v1 import model_pb2 as _model_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WorkState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WORK_STATE_UNSPECIFIED: _ClassVar[WorkState]
    WORK_STATE_QUEUED: _ClassVar[WorkState]
    WORK_STATE_RUNNING: _ClassVar[WorkState]
    WORK_STATE_SUCCEEDED: _ClassVar[WorkState]
    WORK_STATE_FAILED: _ClassVar[WorkState]
    WORK_STATE_CANCELLED: _ClassVar[WorkState]
WORK_STATE_UNSPECIFIED: WorkState
WORK_STATE_QUEUED: WorkState
WORK_STATE_RUNNING: WorkState
WORK_STATE_SUCCEEDED: WorkState
WORK_STATE_FAILED: WorkState
WORK_STATE_CANCELLED: WorkState

class Work(_message.Message):
    __slots__ = ("id", "operation", "model", "body", "files", "state", "percent", "attempt", "create_time", "finish_time", "expire_time", "error", "result", "note")
    ID_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    FINISH_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    id: str
    operation: _model_pb2.Operation
    model: str
    body: str
    files: _containers.RepeatedCompositeFieldContainer[WorkFile]
    state: WorkState
    percent: int
    attempt: int
    create_time: _timestamp_pb2.Timestamp
    finish_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    error: WorkError
    result: WorkResult
    note: str
    def __init__(self, id: _Optional[str] = ..., operation: _Optional[_Union[_model_pb2.Operation, str]] = ..., model: _Optional[str] = ..., body: _Optional[str] = ..., files: _Optional[_Iterable[_Union[WorkFile, _Mapping]]] = ..., state: _Optional[_Union[WorkState, str]] = ..., percent: _Optional[int] = ..., attempt: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finish_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error: _Optional[_Union[WorkError, _Mapping]] = ..., result: _Optional[_Union[WorkResult, _Mapping]] = ..., note: _Optional[str] = ...) -> None: ...

class WorkFile(_message.Message):
    __slots__ = ("name", "object_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    object_id: str
    def __init__(self, name: _Optional[str] = ..., object_id: _Optional[str] = ...) -> None: ...

class WorkError(_message.Message):
    __slots__ = ("reason", "message")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class WorkResult(_message.Message):
    __slots__ = ("body", "outputs", "usage", "served")
    BODY_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    body: str
    outputs: _containers.RepeatedCompositeFieldContainer[WorkOutput]
    usage: _inference_pb2.Usage
    served: _inference_pb2.Served
    def __init__(self, body: _Optional[str] = ..., outputs: _Optional[_Iterable[_Union[WorkOutput, _Mapping]]] = ..., usage: _Optional[_Union[_inference_pb2.Usage, _Mapping]] = ..., served: _Optional[_Union[_inference_pb2.Served, _Mapping]] = ...) -> None: ...

class WorkOutput(_message.Message):
    __slots__ = ("index", "preview", "object_id", "mime_type", "size", "json")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_FIELD_NUMBER: _ClassVar[int]
    OBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    MIME_TYPE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    index: int
    preview: int
    object_id: str
    mime_type: str
    size: int
    json: str
    def __init__(self, index: _Optional[int] = ..., preview: _Optional[int] = ..., object_id: _Optional[str] = ..., mime_type: _Optional[str] = ..., size: _Optional[int] = ..., json: _Optional[str] = ...) -> None: ...

class SubmitWorkRequest(_message.Message):
    __slots__ = ("tenant", "id", "operation", "model", "body", "files", "zone", "deadline_time", "note", "priority")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_TIME_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    id: str
    operation: _model_pb2.Operation
    model: str
    body: str
    files: _containers.RepeatedCompositeFieldContainer[WorkFile]
    zone: str
    deadline_time: _timestamp_pb2.Timestamp
    note: str
    priority: _inference_pb2.Priority
    def __init__(self, tenant: _Optional[str] = ..., id: _Optional[str] = ..., operation: _Optional[_Union[_model_pb2.Operation, str]] = ..., model: _Optional[str] = ..., body: _Optional[str] = ..., files: _Optional[_Iterable[_Union[WorkFile, _Mapping]]] = ..., zone: _Optional[str] = ..., deadline_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., note: _Optional[str] = ..., priority: _Optional[_Union[_inference_pb2.Priority, str]] = ...) -> None: ...

class SubmitWorkResponse(_message.Message):
    __slots__ = ("work",)
    WORK_FIELD_NUMBER: _ClassVar[int]
    work: Work
    def __init__(self, work: _Optional[_Union[Work, _Mapping]] = ...) -> None: ...

class GetWorkRequest(_message.Message):
    __slots__ = ("tenant", "id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    id: str
    def __init__(self, tenant: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class GetWorkResponse(_message.Message):
    __slots__ = ("work",)
    WORK_FIELD_NUMBER: _ClassVar[int]
    work: Work
    def __init__(self, work: _Optional[_Union[Work, _Mapping]] = ...) -> None: ...

class ListWorkRequest(_message.Message):
    __slots__ = ("tenant", "operation", "page_size", "after", "oldest_first")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    OLDEST_FIRST_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    operation: _model_pb2.Operation
    page_size: int
    after: str
    oldest_first: bool
    def __init__(self, tenant: _Optional[str] = ..., operation: _Optional[_Union[_model_pb2.Operation, str]] = ..., page_size: _Optional[int] = ..., after: _Optional[str] = ..., oldest_first: _Optional[bool] = ...) -> None: ...

class ListWorkResponse(_message.Message):
    __slots__ = ("works", "more")
    WORKS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    works: _containers.RepeatedCompositeFieldContainer[Work]
    more: bool
    def __init__(self, works: _Optional[_Iterable[_Union[Work, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...

class CancelWorkRequest(_message.Message):
    __slots__ = ("tenant", "id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    id: str
    def __init__(self, tenant: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class CancelWorkResponse(_message.Message):
    __slots__ = ("work",)
    WORK_FIELD_NUMBER: _ClassVar[int]
    work: Work
    def __init__(self, work: _Optional[_Union[Work, _Mapping]] = ...) -> None: ...

class DeleteWorkRequest(_message.Message):
    __slots__ = ("tenant", "id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    id: str
    def __init__(self, tenant: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class DeleteWorkResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchWorkRequest(_message.Message):
    __slots__ = ("tenant", "id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    id: str
    def __init__(self, tenant: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class WatchWorkResponse(_message.Message):
    __slots__ = ("work",)
    WORK_FIELD_NUMBER: _ClassVar[int]
    work: Work
    def __init__(self, work: _Optional[_Union[Work, _Mapping]] = ...) -> None: ...
