"""Between nexus.router.v1.Snapshot and the values decisions are made with. A policy goes by the names of its fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from nexus_routing.policy import Names, Policy, Scope, Tariff
from nexus_routing.table import Table
from nexus_routing.types import Load, Model, Target

if TYPE_CHECKING:  # only their shape is needed: decisions run without protobuf
    from nexus.router.v1 import snapshot_pb2 as pb
    from nexus.types.v1 import model_pb2

__all__ = ["read_model", "read_policy", "read_snapshot", "read_target", "write_policy"]

Reader = Callable[[Any], object]
M = TypeVar("M", bound=BaseModel)

PLACES: dict[tuple[type[BaseModel], str], str] = {
    (Policy, "overflow_to_fallbacks"): "overflow",
    **{(Tariff, name): f"scope.{name}" for name in Scope.model_fields},
}
"""Where a wish stands in the contract, if not under its own name."""


def read_snapshot(snapshot: pb.Snapshot) -> Table:
    """The table of a snapshot."""
    return Table([read_target(target) for target in snapshot.targets], read_policy(snapshot))


def read_policy(snapshot: pb.Snapshot) -> Policy:
    """All of a snapshot that is not its targets. What it leaves out keeps its default; nothing is validated."""
    return _read(Policy, snapshot)


def write_policy(policy: Policy, snapshot: pb.Snapshot) -> None:
    """Puts a policy into a snapshot that has none. Raises ValueError for a wish the contract has no field for."""
    snapshot.MergeFrom(type(snapshot)(**_fields(policy)))


def _read(kind: type[M], message: object) -> M:
    given: dict[str, Any] = {
        name: (value := read(place(message))) or default or value
        for name, place, read, default in _readers(kind)
    }
    return kind.model_construct(**given)


@cache
def _readers(kind: type[BaseModel]) -> tuple[tuple[str, Callable[[object], object], Reader, object], ...]:
    """Of each field its name, its place, how it is read, and what it is when the message leaves it out."""
    return tuple(
        (name, attrgetter(_place(kind, name)), _reader(field.annotation), _default(field))
        for name, field in kind.model_fields.items()
    )


def _default(field: FieldInfo) -> object:
    return "" if field.is_required() else field.get_default(call_default_factory=True)


def _place(kind: type[BaseModel], name: str) -> str:
    return next((PLACES[base, name] for base in kind.__mro__ if (base, name) in PLACES), name)


def _reader(annotation: object) -> Reader:
    """How a field of that type is read."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return lambda message: _read(annotation, message)
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is tuple:
        each = _reader(inner[0])
        return lambda values: tuple([each(value) for value in values])
    if origin is dict:
        if get_origin(inner[1]) is tuple:  # a map holds no lists: they stand in a message
            return lambda values: {name: tuple(value.models) for name, value in values.items()}
        return dict
    return lambda value: value


def _fields(record: BaseModel) -> dict[str, Any]:
    kind, fields = type(record), dict[str, Any]()
    for name in kind.model_fields:
        part, _, last = _place(kind, name).rpartition(".")
        into = fields.setdefault(part, {}) if part else fields
        into[last] = _written(getattr(record, name))
    return fields


def _written(value: object) -> object:
    if isinstance(value, BaseModel):
        return _fields(value)
    if isinstance(value, tuple):
        return [_written(each) for each in cast(tuple[object, ...], value)]
    if isinstance(value, Mapping):
        named = cast(Mapping[str, object], value)
        return {
            name: {"models": list(cast(Names, each))} if isinstance(each, tuple) else each
            for name, each in named.items()
        }
    return value


def read_target(target: pb.Target) -> Target:
    """One nexus.router.v1.Target."""
    load = target.load
    return Target(
        id=target.id,
        instance=target.instance,
        address=target.address,
        server_name=target.server_name,
        backend=target.backend,
        kind=target.kind,
        models=tuple([read_model(model) for model in target.models]),
        state=target.state,
        state_reason=target.state_reason,
        zone=target.zone,
        tier=target.tier,
        priority=target.priority,
        load=Load(load.active, load.queued, load.capacity),
        gpus=tuple(target.gpus),
    )


def read_model(model: model_pb2.Model) -> Model:
    """One nexus.types.v1.Model."""
    return Model(
        id=model.id,
        operations=frozenset(model.operations),
        capabilities=frozenset(model.capabilities),
        context_tokens=model.context_tokens,
        loaded=model.loaded,
        owner=model.owner,
        created=model.create_time.seconds,
        remote=model.remote,
        parameters=tuple([(each.operation, each.schema) for each in model.parameters]),
    )
