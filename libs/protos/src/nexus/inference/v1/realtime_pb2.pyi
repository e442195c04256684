from nexus.inference.v1 import inference_pb2 as _inference_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConnectRequest(_message.Message):
    __slots__ = ("start", "event")
    START_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    start: ConnectStart
    event: str
    def __init__(self, start: _Optional[_Union[ConnectStart, _Mapping]] = ..., event: _Optional[str] = ...) -> None: ...

class ConnectStart(_message.Message):
    __slots__ = ("model", "zone", "priority", "on_behalf_of")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ON_BEHALF_OF_FIELD_NUMBER: _ClassVar[int]
    model: str
    zone: str
    priority: _inference_pb2.Priority
    on_behalf_of: str
    def __init__(self, model: _Optional[str] = ..., zone: _Optional[str] = ..., priority: _Optional[_Union[_inference_pb2.Priority, str]] = ..., on_behalf_of: _Optional[str] = ...) -> None: ...

class ConnectResponse(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: str
    def __init__(self, event: _Optional[str] = ...) -> None: ...
