import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from nexus.types.v1 import memory_pb2 as _memory_pb2
from nexus.types.v1 import model_pb2 as _model_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATE_UNSPECIFIED: _ClassVar[State]
    STATE_STARTING: _ClassVar[State]
    STATE_ACTIVE: _ClassVar[State]
    STATE_UNHEALTHY: _ClassVar[State]
    STATE_DRAINING: _ClassVar[State]
STATE_UNSPECIFIED: State
STATE_STARTING: State
STATE_ACTIVE: State
STATE_UNHEALTHY: State
STATE_DRAINING: State

class Instance(_message.Message):
    __slots__ = ("id", "role", "node", "zone", "name", "address", "server_name", "version", "register_time", "status", "connected", "clock_time")
    ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SERVER_NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REGISTER_TIME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    CLOCK_TIME_FIELD_NUMBER: _ClassVar[int]
    id: str
    role: str
    node: str
    zone: str
    name: str
    address: str
    server_name: str
    version: str
    register_time: _timestamp_pb2.Timestamp
    status: Status
    connected: bool
    clock_time: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., role: _Optional[str] = ..., node: _Optional[str] = ..., zone: _Optional[str] = ..., name: _Optional[str] = ..., address: _Optional[str] = ..., server_name: _Optional[str] = ..., version: _Optional[str] = ..., register_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., status: _Optional[_Union[Status, _Mapping]] = ..., connected: _Optional[bool] = ..., clock_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Status(_message.Message):
    __slots__ = ("state", "backends", "endpoints", "devices", "left_out")
    class EndpointsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    STATE_FIELD_NUMBER: _ClassVar[int]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    state: State
    backends: _containers.RepeatedCompositeFieldContainer[Backend]
    endpoints: _containers.ScalarMap[str, str]
    devices: _containers.RepeatedCompositeFieldContainer[_memory_pb2.Device]
    left_out: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, state: _Optional[_Union[State, str]] = ..., backends: _Optional[_Iterable[_Union[Backend, _Mapping]]] = ..., endpoints: _Optional[_Mapping[str, str]] = ..., devices: _Optional[_Iterable[_Union[_memory_pb2.Device, _Mapping]]] = ..., left_out: _Optional[_Iterable[str]] = ...) -> None: ...

class Backend(_message.Message):
    __slots__ = ("name", "kind", "state", "state_reason", "models", "priority", "tier", "load", "abilities")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STATE_REASON_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    ABILITIES_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    state: State
    state_reason: str
    models: _containers.RepeatedCompositeFieldContainer[_model_pb2.Model]
    priority: int
    tier: str
    load: Load
    abilities: _containers.RepeatedScalarFieldContainer[_memory_pb2.Ability]
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., state: _Optional[_Union[State, str]] = ..., state_reason: _Optional[str] = ..., models: _Optional[_Iterable[_Union[_model_pb2.Model, _Mapping]]] = ..., priority: _Optional[int] = ..., tier: _Optional[str] = ..., load: _Optional[_Union[Load, _Mapping]] = ..., abilities: _Optional[_Iterable[_Union[_memory_pb2.Ability, str]]] = ...) -> None: ...

class Load(_message.Message):
    __slots__ = ("active", "queued", "capacity")
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    active: int
    queued: int
    capacity: int
    def __init__(self, active: _Optional[int] = ..., queued: _Optional[int] = ..., capacity: _Optional[int] = ...) -> None: ...
