import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Ability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ABILITY_UNSPECIFIED: _ClassVar[Ability]
    ABILITY_LOAD: _ClassVar[Ability]
    ABILITY_UNLOAD: _ClassVar[Ability]
    ABILITY_PULL: _ClassVar[Ability]
    ABILITY_DELETE: _ClassVar[Ability]

class ReservationState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESERVATION_STATE_UNSPECIFIED: _ClassVar[ReservationState]
    RESERVATION_STATE_LOADING: _ClassVar[ReservationState]
    RESERVATION_STATE_ACTIVE: _ClassVar[ReservationState]
    RESERVATION_STATE_IDLE: _ClassVar[ReservationState]
    RESERVATION_STATE_UNLOADING: _ClassVar[ReservationState]
ABILITY_UNSPECIFIED: Ability
ABILITY_LOAD: Ability
ABILITY_UNLOAD: Ability
ABILITY_PULL: Ability
ABILITY_DELETE: Ability
RESERVATION_STATE_UNSPECIFIED: ReservationState
RESERVATION_STATE_LOADING: ReservationState
RESERVATION_STATE_ACTIVE: ReservationState
RESERVATION_STATE_IDLE: ReservationState
RESERVATION_STATE_UNLOADING: ReservationState

class Device(_message.Message):
    __slots__ = ("name", "total_bytes", "headroom_bytes", "backends", "reservations", "waiting")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    HEADROOM_BYTES_FIELD_NUMBER: _ClassVar[int]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    RESERVATIONS_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    name: str
    total_bytes: int
    headroom_bytes: int
    backends: _containers.RepeatedScalarFieldContainer[str]
    reservations: _containers.RepeatedCompositeFieldContainer[Reservation]
    waiting: int
    def __init__(self, name: _Optional[str] = ..., total_bytes: _Optional[int] = ..., headroom_bytes: _Optional[int] = ..., backends: _Optional[_Iterable[str]] = ..., reservations: _Optional[_Iterable[_Union[Reservation, _Mapping]]] = ..., waiting: _Optional[int] = ...) -> None: ...

class Reservation(_message.Message):
    __slots__ = ("backend", "model", "size_bytes", "state", "state_time", "expect_time")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPECT_TIME_FIELD_NUMBER: _ClassVar[int]
    backend: str
    model: str
    size_bytes: int
    state: ReservationState
    state_time: _timestamp_pb2.Timestamp
    expect_time: _timestamp_pb2.Timestamp
    def __init__(self, backend: _Optional[str] = ..., model: _Optional[str] = ..., size_bytes: _Optional[int] = ..., state: _Optional[_Union[ReservationState, str]] = ..., state_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expect_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
