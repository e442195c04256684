"""Instances and policy in, targets out. Pure but for the verdicts, which `Health` remembers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nexus.registry.v1 import instance_pb2 as registry
from nexus.router.v1.snapshot_pb2 import Snapshot, Target
from nexus_routing import Policy, read_snapshot, write_policy

from nexus_router.health import Health

DEFAULT_PRIORITY = 50
DEFAULT_TIER = "standard"

INSTANCE_REASONS = {
    registry.STATE_UNSPECIFIED: "the adapter has not said how it is",
    registry.STATE_STARTING: "the adapter is starting",
    registry.STATE_UNHEALTHY: "the adapter says it is not well",
    registry.STATE_DRAINING: "the adapter is shutting down",
}


def compile_snapshot(
    instances: Iterable[registry.Instance], policy: Policy, health: Health, now: float
) -> Snapshot:
    """A snapshot without version and time: every backend of every adapter, by id, and the operator's policy."""
    targets = [
        _target(instance, backend, health, now)
        for instance in instances
        if instance.role == "adapter"
        for backend in instance.status.backends
    ]
    targets.sort(key=lambda target: target.id)
    _use_the_only_ones(targets, health)
    snapshot = Snapshot(targets=targets)
    write_policy(policy, snapshot)
    return snapshot


def prove(policy: Policy) -> None:
    """Compiles it for an empty mesh and reads it as gateways do: what does not get through must never be in force.

    Raises whatever they raise.
    """
    snapshot = compile_snapshot((), policy, Health(), 0.0)
    read_snapshot(snapshot.FromString(snapshot.SerializeToString()))


def _use_the_only_ones(targets: Iterable[Target], health: Health) -> None:
    """Whoever is held back, but has a model nobody else in its zone can serve, is used: it may fail, nothing must."""
    held = [target for target in targets if health.is_held(target.id)]
    if not held:
        return
    served = {
        offer for target in targets if target.state == registry.STATE_ACTIVE for offer in _offers(target)
    }
    for target in held:
        if not served.issuperset(_offers(target)):
            health.believe(target.id)
            target.state, target.state_reason = registry.STATE_ACTIVE, ""


def _offers(target: Target) -> Iterator[tuple[str, str]]:
    return ((target.zone, model.id) for model in target.models)


def reported(instance: registry.Instance, backend: registry.Backend) -> tuple[registry.State, str]:
    """What is known of a backend's state, and why it is not ACTIVE."""
    if not instance.connected:
        return registry.STATE_UNHEALTHY, "the adapter lost its connection to the registry"
    if instance.status.state != registry.STATE_ACTIVE:
        return instance.status.state, INSTANCE_REASONS.get(instance.status.state, "")
    return backend.state, backend.state_reason


def _target(instance: registry.Instance, backend: registry.Backend, health: Health, now: float) -> Target:
    target = Target(
        id=f"{instance.id}#{backend.name}",
        instance=instance.id,
        address=instance.address,
        server_name=instance.server_name,
        backend=backend.name,
        kind=backend.kind,
        zone=instance.zone,
        priority=backend.priority or DEFAULT_PRIORITY,
        tier=backend.tier or DEFAULT_TIER,
        models=backend.models,
        load=backend.load,
        abilities=backend.abilities,
        gpus=sorted(device.name for device in instance.status.devices if backend.name in device.backends),
    )
    state, reason = reported(instance, backend)
    target.state, target.state_reason = health.judge(target.id, state, reason, now)
    if target.state == registry.STATE_ACTIVE:
        target.state_reason = reason  # models may be left out all the same
    return target
