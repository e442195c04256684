"""Instances in, targets out."""

from __future__ import annotations

import pytest
from nexus.registry.v1 import instance_pb2 as registry
from nexus.router.v1.snapshot_pb2 import Snapshot
from nexus.types.v1.model_pb2 import OPERATION_CHAT, Model
from nexus_router.compiling import compile_snapshot
from nexus_router.health import HOLDS, Health
from nexus_routing import (
    Policy,
    Price,
    Requirements,
    Scope,
    Tariff,
    explain,
    plan,
    read_policy,
    read_snapshot,
)

ACTIVE = registry.STATE_ACTIVE
ROUTING = Policy(
    aliases={"gpt-4o": "m"},
    zones={"gpt-4o": "restricted"},
    crossing={"restricted": "scrub"},
    hedge={"embed-*": 0.5},
)


def adapter(
    name: str, *backends: registry.Backend, state: registry.State = ACTIVE, connected: bool = True
) -> registry.Instance:
    row = registry.Instance(id=f"n1/adapter/{name}", role="adapter", zone="home", connected=connected)
    row.address, row.server_name = "10.0.0.7:7450", f"{name}.n1.home.zone.adapter.nexus.internal"
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
    policy = read_policy(snapshot)
    assert policy.crossing == {"restricted": "scrub"}
    assert [policy.hedge_after(name, name) for name in ("embed-small", "gpt-4o")] == [0.5, 0.0]


def test_a_target_says_all_a_gateway_needs() -> None:
    model, load = Model(id="m", loaded=True), registry.Load(active=2, queued=1, capacity=4)
    (target,) = compiled(adapter("a", box(models=[model], load=load, priority=7, tier="fast"))).targets
    assert (target.instance, target.backend, target.kind, target.zone) == (
        "n1/adapter/a",
        "box",
        "ollama",
        "home",
    )
    assert (target.address, target.server_name) == ("10.0.0.7:7450", "a.n1.home.zone.adapter.nexus.internal")
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


def test_prices_reach_the_decision_library() -> None:
    routing = Policy.model_validate(
        {"prices": [{"models": ["m*"], "kinds": ["ollama"], "input": 2.5, "output": 10}]}
    )
    rows = [adapter("a", box(models=[Model(id="m1", operations=[OPERATION_CHAT])]))]
    sent = compile_snapshot(rows, routing, Health(), 0.0).SerializeToString()
    table = read_snapshot(Snapshot.FromString(sent))
    assert table.policy.prices == (Tariff(models=("m*",), kinds=("ollama",), input=2.5, output=10.0),)
    assert plan(table, Requirements(1, "m1")).candidates[0].price == Price(2.5, 10.0)


def test_a_snapshot_from_before_there_were_prices_costs_nothing() -> None:
    assert read_policy(Snapshot()).prices == ()


def test_a_target_has_the_devices_its_own_models_are_in() -> None:
    row = adapter("a", box("x"), box("y"), box("z"))
    row.status.devices.add(name="gpu1", backends=["x"])
    row.status.devices.add(name="gpu0", backends=["x", "y"])
    found = {target.backend: list(target.gpus) for target in compiled(row).targets}
    assert found == {"x": ["gpu0", "gpu1"], "y": ["gpu0"], "z": []}
    assert {each.backend: each.gpus for each in read_snapshot(compiled(row)).targets}["x"] == ("gpu0", "gpu1")


def test_a_rule_and_a_price_may_name_gpus() -> None:
    routing = Policy.model_validate(
        {
            "rules": [{"name": "r", "never": {"gpus": ["RTX30*"]}, "zone": "home"}],
            "prices": [{"gpus": ["a100*"], "input": 1}],
        }
    )
    policy = read_policy(compile_snapshot((), routing, Health(), 0.0))
    assert (policy.rules[0].never, policy.rules[0].zone) == (Scope(gpus=("RTX30*",)), "home")
    assert policy.prices == (Tariff(gpus=("a100*",), input=1.0),)


def test_the_decision_library_reads_what_is_compiled() -> None:
    table = read_snapshot(compiled(adapter("a", box(models=[Model(id="m", operations=[OPERATION_CHAT])]))))
    assert table.resolve("gpt-4o") == "m"


class Flapping:
    """Two backends in one zone; `a` falls and looks well again at once."""

    def __init__(self, *models: str) -> None:
        self.health, self.now = Health(), 0.0
        self.models = [Model(id=name) for name in models]
        self.other = box("b", models=[Model(id="shared")])

    def states(self, state: registry.State) -> list[registry.State]:
        self.now += 0.01
        instance = adapter("x", box("a", state, models=self.models), self.other)
        return [
            target.state for target in compile_snapshot([instance], ROUTING, self.health, self.now).targets
        ]

    def fall(self, times: int) -> list[registry.State]:
        states = self.states(ACTIVE)
        for _ in range(times):
            self.states(registry.STATE_UNHEALTHY)
            states = self.states(ACTIVE)
        return states


def test_a_backend_that_fell_is_held_back_while_another_has_all_its_models() -> None:
    fleet = Flapping("shared")
    assert fleet.fall(1) == [registry.STATE_UNHEALTHY, ACTIVE]
    fleet.now += HOLDS[1]
    assert fleet.states(ACTIVE) == [ACTIVE, ACTIVE]


@pytest.mark.parametrize("times", [1, 2, 5])
def test_the_only_backend_of_a_model_is_used_however_often_it_fell(times: int) -> None:
    fleet = Flapping("shared", "its own")
    assert fleet.fall(times) == [ACTIVE, ACTIVE]


def test_the_same_model_in_another_zone_is_no_help() -> None:
    health, model = Health(), Model(id="m")
    elsewhere = adapter("y", box("b", models=[model]))
    elsewhere.zone = "office"

    def states(state: registry.State, now: float) -> list[registry.State]:
        home = adapter("x", box("a", state, models=[model]))
        targets = compile_snapshot([home, elsewhere], ROUTING, health, now).targets
        return [target.state for target in targets]

    assert states(ACTIVE, 0.0) == [ACTIVE, ACTIVE]
    assert states(registry.STATE_UNHEALTHY, 0.1) == [registry.STATE_UNHEALTHY, ACTIVE]
    assert states(ACTIVE, 0.2) == [ACTIVE, ACTIVE]


def test_a_fall_of_one_used_before_its_time_counts() -> None:
    fleet = Flapping("shared", "its own")
    fleet.fall(3)
    fleet.models = [Model(id="shared")]
    assert fleet.states(ACTIVE) == [registry.STATE_UNHEALTHY, ACTIVE]
    fleet.now += HOLDS[3] - 0.1
    assert fleet.states(ACTIVE) == [registry.STATE_UNHEALTHY, ACTIVE]
    fleet.now += 0.2
    assert fleet.states(ACTIVE) == [ACTIVE, ACTIVE]


def test_what_is_left_out_of_a_healthy_backend_is_told_where_it_would_be_asked_for() -> None:
    """A3: a model that is missing for its name is explained, not only missing."""
    note = "1 of its 2 models are left out: a model's name must have 1 to 256 printable characters."
    snapshot = compiled(
        adapter("a", box(state_reason=note, models=[Model(id="m", operations=[OPERATION_CHAT])]))
    )
    (target,) = snapshot.targets
    assert (target.state, target.state_reason) == (ACTIVE, note)
    (verdict,) = explain(read_snapshot(snapshot), Requirements(OPERATION_CHAT, "odd")).verdicts
    assert (verdict.stage, verdict.reason) == ("model", f"does not offer the model: {note}")
