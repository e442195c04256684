"""Reads a router's snapshot by the shape of nexus.router.v1.Snapshot, without knowing protobuf."""

from __future__ import annotations

from typing import Any

from nexus_routing.policy import TIERS, Policy, Price, Rule, Scope, Tariff
from nexus_routing.table import Table
from nexus_routing.types import Load, Model, Target

__all__ = ["read_model", "read_policy", "read_snapshot", "read_target"]


def read_snapshot(snapshot: Any) -> Table:
    """The table of a nexus.router.v1.Snapshot, or of anything with its fields."""
    targets = [read_target(target) for target in snapshot.targets]
    return Table(targets, read_policy(snapshot))


def read_policy(snapshot: Any) -> Policy:
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


def _read_rule(rule: Any) -> Rule:
    return Rule(
        rule.name,
        tuple(rule.models),
        frozenset(rule.tenants),
        only=_read_scope(rule.only),
        never=_read_scope(rule.never),
        zone=rule.zone,
    )


def _read_tariff(price: Any) -> Tariff:
    return Tariff(Price(price.input, price.output), tuple(price.models), _read_scope(price.scope))


def _read_scope(scope: Any) -> Scope:
    return Scope(
        frozenset(scope.hosts),
        frozenset(scope.backends),
        frozenset(scope.kinds),
        frozenset(scope.tiers),
        tuple(scope.gpus),
    )


def read_target(target: Any) -> Target:
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


def read_model(model: Any) -> Model:
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
