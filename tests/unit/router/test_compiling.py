"""Instances in, targets out."""

from __future__ import annotations

import pytest
from nexus.registry.v1 import instance_pb2 as registry
from nexus.router.v1.snapshot_pb2 import Snapshot
from nexus.types.v1.model_pb2 import OPERATION_CHAT, Model
from nexus_router.compiling import compile_snapshot
from nexus_router.config import RoutingSettings
from nexus_router.health import Health
from nexus_routing import read_policy, read_snapshot

ACTIVE = registry.STATE_ACTIVE
ROUTING = RoutingSettings(
    aliases={"gpt-4o": "m"}, zones={"gpt-4o": "restricted"}, crossing={"restricted": "scrub"}
)


def adapter(
    name: str, *backends: registry.Backend, state: registry.State = ACTIVE, connected: bool = True
) -> registry.Instance:
    row = registry.Instance(id=f"n1/adapter/{name}", role="adapter", zone="home", connected=connected)
    row.address, row.server_name = "10.0.0.7:7450", f"{name}.n1.adapter.nexus.internal"
    row.status.state = state
    row.status.backends.extend(backends)
    return row


def box(name: str = "box", state: registry.State = ACTIVE, **fields: object) -> registry.Backend:
    return registry.Backend(name=name, kind="ollama", state=state, **fields)  # pyright: ignore[reportArgumentType]


def compiled(*instances: registry.Instance) -> Snapshot:
    return compile_snapshot(instances, ROUTING, Health(), 0.0)


def test_every_backend_of_every_adapter_is_a_target() -> None:
    other = registry.Instance(id="n1/gateway/main", role="gateway", connected=True)
    other.status.backends.append(box())
    snapshot = compiled(adapter("b", box("x"), box("y")), other, adapter("a", box()))
    assert [target.id for target in snapshot.targets] == [
        "n1/adapter/a#box",
        "n1/adapter/b#x",
        "n1/adapter/b#y",
    ]
    assert dict(snapshot.aliases) == {"gpt-4o": "m"}
    assert dict(snapshot.zones) == {"gpt-4o": "restricted"}
    assert read_policy(snapshot).crossing == {"restricted": "scrub"}


def test_a_target_says_all_a_gateway_needs() -> None:
    model, load = Model(id="m", loaded=True), registry.Load(active=2, queued=1, capacity=4)
    (target,) = compiled(adapter("a", box(models=[model], load=load, priority=7, tier="fast"))).targets
    assert (target.instance, target.backend, target.kind, target.zone) == (
        "n1/adapter/a",
        "box",
        "ollama",
        "home",
    )
    assert (target.address, target.server_name) == ("10.0.0.7:7450", "a.n1.adapter.nexus.internal")
    assert (list(target.models), target.load, target.priority, target.tier) == ([model], load, 7, "fast")
    assert (target.state, target.state_reason) == (ACTIVE, "")


def test_defaults() -> None:
    (target,) = compiled(adapter("a", box())).targets
    assert (target.priority, target.tier) == (50, "standard")


@pytest.mark.parametrize(
    ("instance", "state", "reason"),
    [
        (adapter("a", box(), connected=False), registry.STATE_UNHEALTHY, "lost its connection"),
        (adapter("a", box(), state=registry.STATE_DRAINING), registry.STATE_DRAINING, "shutting down"),
        (adapter("a", box(), state=registry.STATE_STARTING), registry.STATE_STARTING, "starting"),
        (
            adapter("a", box(state=registry.STATE_UNHEALTHY, state_reason="HTTP 500")),
            registry.STATE_UNHEALTHY,
            "500",
        ),
        (adapter("a", box(state=registry.STATE_UNSPECIFIED)), registry.STATE_UNSPECIFIED, ""),
    ],
)
def test_only_a_good_backend_of_a_good_connected_adapter_is_active(
    instance: registry.Instance, state: registry.State, reason: str
) -> None:
    (target,) = compiled(instance).targets
    assert target.state == state
    assert reason in target.state_reason


def test_the_decision_library_reads_what_is_compiled() -> None:
    table = read_snapshot(compiled(adapter("a", box(models=[Model(id="m", operations=[OPERATION_CHAT])]))))
    assert table.resolve("gpt-4o") == "m"
