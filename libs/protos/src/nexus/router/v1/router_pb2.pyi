from nexus.router.v1 import snapshot_pb2 as _snapshot_pb2
from nexus.types.v1 import model_pb2 as _model_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WatchSnapshotRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchSnapshotResponse(_message.Message):
    __slots__ = ("snapshot",)
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    snapshot: _snapshot_pb2.Snapshot
    def __init__(self, snapshot: _Optional[_Union[_snapshot_pb2.Snapshot, _Mapping]] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("operation", "model", "capabilities", "zone", "tenant", "tokens")
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    operation: _model_pb2.Operation
    model: str
    capabilities: _containers.RepeatedScalarFieldContainer[_model_pb2.Capability]
    zone: str
    tenant: str
    tokens: int
    def __init__(self, operation: _Optional[_Union[_model_pb2.Operation, str]] = ..., model: _Optional[str] = ..., capabilities: _Optional[_Iterable[_Union[_model_pb2.Capability, str]]] = ..., zone: _Optional[str] = ..., tenant: _Optional[str] = ..., tokens: _Optional[int] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("model", "candidates", "snapshot_version", "policy_revision")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_VERSION_FIELD_NUMBER: _ClassVar[int]
    POLICY_REVISION_FIELD_NUMBER: _ClassVar[int]
    model: str
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    snapshot_version: int
    policy_revision: int
    def __init__(self, model: _Optional[str] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., snapshot_version: _Optional[int] = ..., policy_revision: _Optional[int] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("target", "rank", "stage", "reason", "model")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    target: str
    rank: int
    stage: str
    reason: str
    model: str
    def __init__(self, target: _Optional[str] = ..., rank: _Optional[int] = ..., stage: _Optional[str] = ..., reason: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...
