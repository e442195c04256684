import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from nexus.registry.v1 import instance_pb2 as _instance_pb2
from nexus.types.v1 import memory_pb2 as _memory_pb2
from nexus.types.v1 import model_pb2 as _model_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Snapshot(_message.Message):
    __slots__ = ("version", "create_time", "targets", "aliases", "zones", "fallbacks", "tiers", "tier_order", "tier_drop", "rules", "overflow", "resume", "hedge", "policy_revision", "crossing", "prices")
    class AliasesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ZonesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class FallbacksEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Fallbacks
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Fallbacks, _Mapping]] = ...) -> None: ...
    class TiersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class HedgeEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class CrossingEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    ZONES_FIELD_NUMBER: _ClassVar[int]
    FALLBACKS_FIELD_NUMBER: _ClassVar[int]
    TIERS_FIELD_NUMBER: _ClassVar[int]
    TIER_ORDER_FIELD_NUMBER: _ClassVar[int]
    TIER_DROP_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    OVERFLOW_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    HEDGE_FIELD_NUMBER: _ClassVar[int]
    POLICY_REVISION_FIELD_NUMBER: _ClassVar[int]
    CROSSING_FIELD_NUMBER: _ClassVar[int]
    PRICES_FIELD_NUMBER: _ClassVar[int]
    version: int
    create_time: _timestamp_pb2.Timestamp
    targets: _containers.RepeatedCompositeFieldContainer[Target]
    aliases: _containers.ScalarMap[str, str]
    zones: _containers.ScalarMap[str, str]
    fallbacks: _containers.MessageMap[str, Fallbacks]
    tiers: _containers.ScalarMap[str, str]
    tier_order: _containers.RepeatedScalarFieldContainer[str]
    tier_drop: _containers.RepeatedScalarFieldContainer[str]
    rules: _containers.RepeatedCompositeFieldContainer[Rule]
    overflow: bool
    resume: _containers.RepeatedScalarFieldContainer[str]
    hedge: _containers.ScalarMap[str, float]
    policy_revision: int
    crossing: _containers.ScalarMap[str, str]
    prices: _containers.RepeatedCompositeFieldContainer[Price]
    def __init__(self, version: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., targets: _Optional[_Iterable[_Union[Target, _Mapping]]] = ..., aliases: _Optional[_Mapping[str, str]] = ..., zones: _Optional[_Mapping[str, str]] = ..., fallbacks: _Optional[_Mapping[str, Fallbacks]] = ..., tiers: _Optional[_Mapping[str, str]] = ..., tier_order: _Optional[_Iterable[str]] = ..., tier_drop: _Optional[_Iterable[str]] = ..., rules: _Optional[_Iterable[_Union[Rule, _Mapping]]] = ..., overflow: _Optional[bool] = ..., resume: _Optional[_Iterable[str]] = ..., hedge: _Optional[_Mapping[str, float]] = ..., policy_revision: _Optional[int] = ..., crossing: _Optional[_Mapping[str, str]] = ..., prices: _Optional[_Iterable[_Union[Price, _Mapping]]] = ...) -> None: ...

class Fallbacks(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, models: _Optional[_Iterable[str]] = ...) -> None: ...

class Rule(_message.Message):
    __slots__ = ("name", "models", "tenants", "only", "never", "zone")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    ONLY_FIELD_NUMBER: _ClassVar[int]
    NEVER_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    name: str
    models: _containers.RepeatedScalarFieldContainer[str]
    tenants: _containers.RepeatedScalarFieldContainer[str]
    only: Scope
    never: Scope
    zone: str
    def __init__(self, name: _Optional[str] = ..., models: _Optional[_Iterable[str]] = ..., tenants: _Optional[_Iterable[str]] = ..., only: _Optional[_Union[Scope, _Mapping]] = ..., never: _Optional[_Union[Scope, _Mapping]] = ..., zone: _Optional[str] = ...) -> None: ...

class Scope(_message.Message):
    __slots__ = ("hosts", "backends", "kinds", "tiers", "gpus")
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    TIERS_FIELD_NUMBER: _ClassVar[int]
    GPUS_FIELD_NUMBER: _ClassVar[int]
    hosts: _containers.RepeatedScalarFieldContainer[str]
    backends: _containers.RepeatedScalarFieldContainer[str]
    kinds: _containers.RepeatedScalarFieldContainer[str]
    tiers: _containers.RepeatedScalarFieldContainer[str]
    gpus: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, hosts: _Optional[_Iterable[str]] = ..., backends: _Optional[_Iterable[str]] = ..., kinds: _Optional[_Iterable[str]] = ..., tiers: _Optional[_Iterable[str]] = ..., gpus: _Optional[_Iterable[str]] = ...) -> None: ...

class Price(_message.Message):
    __slots__ = ("models", "scope", "input", "output", "images", "characters", "input_minutes", "output_minutes")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    INPUT_MINUTES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_MINUTES_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedScalarFieldContainer[str]
    scope: Scope
    input: float
    output: float
    images: float
    characters: float
    input_minutes: float
    output_minutes: float
    def __init__(self, models: _Optional[_Iterable[str]] = ..., scope: _Optional[_Union[Scope, _Mapping]] = ..., input: _Optional[float] = ..., output: _Optional[float] = ..., images: _Optional[float] = ..., characters: _Optional[float] = ..., input_minutes: _Optional[float] = ..., output_minutes: _Optional[float] = ...) -> None: ...

class Target(_message.Message):
    __slots__ = ("id", "instance", "address", "server_name", "backend", "kind", "zone", "priority", "tier", "models", "state", "state_reason", "load", "abilities", "gpus")
    ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SERVER_NAME_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STATE_REASON_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    ABILITIES_FIELD_NUMBER: _ClassVar[int]
    GPUS_FIELD_NUMBER: _ClassVar[int]
    id: str
    instance: str
    address: str
    server_name: str
    backend: str
    kind: str
    zone: str
    priority: int
    tier: str
    models: _containers.RepeatedCompositeFieldContainer[_model_pb2.Model]
    state: _instance_pb2.State
    state_reason: str
    load: _instance_pb2.Load
    abilities: _containers.RepeatedScalarFieldContainer[_memory_pb2.Ability]
    gpus: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., instance: _Optional[str] = ..., address: _Optional[str] = ..., server_name: _Optional[str] = ..., backend: _Optional[str] = ..., kind: _Optional[str] = ..., zone: _Optional[str] = ..., priority: _Optional[int] = ..., tier: _Optional[str] = ..., models: _Optional[_Iterable[_Union[_model_pb2.Model, _Mapping]]] = ..., state: _Optional[_Union[_instance_pb2.State, str]] = ..., state_reason: _Optional[str] = ..., load: _Optional[_Union[_instance_pb2.Load, _Mapping]] = ..., abilities: _Optional[_Iterable[_Union[_memory_pb2.Ability, str]]] = ..., gpus: _Optional[_Iterable[str]] = ...) -> None: ...
