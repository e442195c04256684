import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Operation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPERATION_UNSPECIFIED: _ClassVar[Operation]
    OPERATION_CHAT: _ClassVar[Operation]
    OPERATION_COMPLETION: _ClassVar[Operation]
    OPERATION_EMBEDDING: _ClassVar[Operation]
    OPERATION_SPEECH: _ClassVar[Operation]
    OPERATION_IMAGE: _ClassVar[Operation]
    OPERATION_TRANSCRIPTION: _ClassVar[Operation]
    OPERATION_TRANSLATION: _ClassVar[Operation]
    OPERATION_IMAGE_EDIT: _ClassVar[Operation]
    OPERATION_IMAGE_VARIATION: _ClassVar[Operation]
    OPERATION_OCR: _ClassVar[Operation]
    OPERATION_VIDEO: _ClassVar[Operation]

class Capability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CAPABILITY_UNSPECIFIED: _ClassVar[Capability]
    CAPABILITY_TOOLS: _ClassVar[Capability]
    CAPABILITY_VISION: _ClassVar[Capability]
    CAPABILITY_AUDIO: _ClassVar[Capability]
    CAPABILITY_REASONING: _ClassVar[Capability]
    CAPABILITY_JSON: _ClassVar[Capability]
    CAPABILITY_LOGPROBS: _ClassVar[Capability]
    CAPABILITY_CHOICES: _ClassVar[Capability]
    CAPABILITY_TOOL_CHOICE: _ClassVar[Capability]
    CAPABILITY_TOKEN_INPUT: _ClassVar[Capability]
    CAPABILITY_PREFILL: _ClassVar[Capability]
OPERATION_UNSPECIFIED: Operation
OPERATION_CHAT: Operation
OPERATION_COMPLETION: Operation
OPERATION_EMBEDDING: Operation
OPERATION_SPEECH: Operation
OPERATION_IMAGE: Operation
OPERATION_TRANSCRIPTION: Operation
OPERATION_TRANSLATION: Operation
OPERATION_IMAGE_EDIT: Operation
OPERATION_IMAGE_VARIATION: Operation
OPERATION_OCR: Operation
OPERATION_VIDEO: Operation
CAPABILITY_UNSPECIFIED: Capability
CAPABILITY_TOOLS: Capability
CAPABILITY_VISION: Capability
CAPABILITY_AUDIO: Capability
CAPABILITY_REASONING: Capability
CAPABILITY_JSON: Capability
CAPABILITY_LOGPROBS: Capability
CAPABILITY_CHOICES: Capability
CAPABILITY_TOOL_CHOICE: Capability
CAPABILITY_TOKEN_INPUT: Capability
CAPABILITY_PREFILL: Capability

class Model(_message.Message):
    __slots__ = ("id", "operations", "capabilities", "context_tokens", "loaded", "owner", "create_time", "remote", "license", "source", "parameters")
    ID_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    LOADED_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    REMOTE_FIELD_NUMBER: _ClassVar[int]
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    id: str
    operations: _containers.RepeatedScalarFieldContainer[Operation]
    capabilities: _containers.RepeatedScalarFieldContainer[Capability]
    context_tokens: int
    loaded: bool
    owner: str
    create_time: _timestamp_pb2.Timestamp
    remote: bool
    license: str
    source: str
    parameters: _containers.RepeatedCompositeFieldContainer[OperationParameters]
    def __init__(self, id: _Optional[str] = ..., operations: _Optional[_Iterable[_Union[Operation, str]]] = ..., capabilities: _Optional[_Iterable[_Union[Capability, str]]] = ..., context_tokens: _Optional[int] = ..., loaded: _Optional[bool] = ..., owner: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., remote: _Optional[bool] = ..., license: _Optional[str] = ..., source: _Optional[str] = ..., parameters: _Optional[_Iterable[_Union[OperationParameters, _Mapping]]] = ...) -> None: ...

class OperationParameters(_message.Message):
    __slots__ = ("operation", "schema")
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    operation: Operation
    schema: str
    def __init__(self, operation: _Optional[_Union[Operation, str]] = ..., schema: _Optional[str] = ...) -> None: ...
