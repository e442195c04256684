"""Reads a router's snapshot by the shape of nexus.router.v1.Snapshot. Its types alone are used of protobuf."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_routing.policy import TIERS, Policy, Price, Rule, Scope, Tariff
from nexus_routing.table import Table
from nexus_routing.types import Load, Model, Target

if TYPE_CHECKING:  # the shape alone: nothing of protobuf is loaded
    from nexus.router.v1 import snapshot_pb2
    from nexus.types.v1 import model_pb2

__all__ = ["read_model", "read_policy", "read_snapshot", "read_target"]


def read_snapshot(snapshot: snapshot_pb2.Snapshot) -> Table:
    """The table of a nexus.router.v1.Snapshot."""
    targets = [read_target(target) for target in snapshot.targets]
    return Table(targets, read_policy(snapshot))


def read_policy(snapshot: snapshot_pb2.Snapshot) -> Policy:
    """All of a nexus.router.v1.Snapshot that is not its targets."""
    return Policy(
        aliases=dict(snapshot.aliases),
        zones=dict(snapshot.zones),
        fallbacks={name: tuple(chain.models) for name, chain in snapshot.fallbacks.items()},
        tiers=dict(snapshot.tiers),
        tier_order=tuple(snapshot.tier_order) or TIERS,
        tier_drop=frozenset(snapshot.tier_drop),
        rules=tuple([_read_rule(rule) for rule in snapshot.rules]),
        overflow=snapshot.overflow,
        resume=tuple(snapshot.resume),
        hedge=dict(snapshot.hedge),
        crossing=dict(snapshot.crossing),
        tariffs=tuple([_read_tariff(price) for price in snapshot.prices]),
    )


def _read_rule(rule: snapshot_pb2.Rule) -> Rule:
    return Rule(
        rule.name,
        tuple(rule.models),
        frozenset(rule.tenants),
        only=_read_scope(rule.only),
        never=_read_scope(rule.never),
        zone=rule.zone,
    )


def _read_tariff(price: snapshot_pb2.Price) -> Tariff:
    return Tariff(Price(price.input, price.output), tuple(price.models), _read_scope(price.scope))


def _read_scope(scope: snapshot_pb2.Scope) -> Scope:
    return Scope(
        frozenset(scope.hosts),
        frozenset(scope.backends),
        frozenset(scope.kinds),
        frozenset(scope.tiers),
        tuple(scope.gpus),
    )


def read_target(target: snapshot_pb2.Target) -> Target:
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
    )
