"""Which rows follow from an identity."""

from __future__ import annotations

from typing import Any

import pytest
from nexus.registry.v1.instance_pb2 import Instance
from nexus.router.v1.snapshot_pb2 import Target
from nexus_mesh.identity.spiffe import SpiffeId
from nexus_mesh.rows.identity import REMEMBERED, RowGuard
from prometheus_client import REGISTRY

BOX = SpiffeId("nexus.internal", "restricted", "n1", "adapter", "box")
DEFAULT = SpiffeId("nexus.internal", "default", "n1", "adapter", "box")
OTHER = SpiffeId("nexus.internal", "restricted", "n2", "adapter", "box")
FORGED_ROWS: dict[str, dict[str, Any]] = {
    "another zone than its name's": {"server_name": DEFAULT.server_name},
    "a name of before the zone was in it": {"server_name": "box.n1.adapter.nexus.internal"},
    "another's name": {"server_name": OTHER.server_name},
    "another mesh's name": {"server_name": BOX.server_name.replace("nexus.internal", "evil.example")},
    "no name": {"server_name": ""},
    "no zone": {"zone": ""},
    "a zone that runs into the node": {"zone": "n1.restricted"},
    "no id": {"id": ""},
    "an id of four parts": {"id": "n1/adapter/box/x"},
    "an id of a role that is none": {"id": "n1/root/box"},
    "another role": {"role": "gateway"},
    "another node": {"node": "n2"},
    "another name": {"name": "other"},
}
FORGED_TARGETS: dict[str, dict[str, Any]] = {
    "another zone than its name's": {"server_name": DEFAULT.server_name},
    "another's name": {"server_name": OTHER.server_name},
    "no name": {"server_name": ""},
    "no zone": {"zone": ""},
    "another instance in its id": {"id": "n2/adapter/box#b"},
    "another backend in its id": {"id": "n1/adapter/box#c"},
    "a gateway": {
        "id": "n1/gateway/box#b",
        "instance": "n1/gateway/box",
        "server_name": SpiffeId("nexus.internal", "restricted", "n1", "gateway", "box").server_name,
    },
}


def row(**forged: Any) -> Instance:
    true = {"id": BOX.instance_id, "role": "adapter", "node": "n1", "name": "box", "zone": "restricted"}
    return Instance(**{**true, "server_name": BOX.server_name, "address": "10.0.0.7:7450", **forged})


def target(**forged: Any) -> Target:
    true = {"id": "n1/adapter/box#b", "instance": BOX.instance_id, "backend": "b", "zone": "restricted"}
    return Target(**{**true, "server_name": BOX.server_name, **forged})


def refused() -> float:
    return REGISTRY.get_sample_value("nexus_mesh_rows_refused_total", {"source": "test"}) or 0


def test_what_a_registry_and_a_router_make_is_let_through() -> None:
    guard = RowGuard("nexus.internal", "test")
    assert guard.admits(row())
    assert guard.admits_target(target())


@pytest.mark.security
@pytest.mark.parametrize("forged", FORGED_ROWS)
def test_a_row_that_does_not_follow_is_refused_and_counted(forged: str) -> None:
    """A1"""
    before = refused()
    assert not RowGuard("nexus.internal", "test").admits(row(**FORGED_ROWS[forged]))
    assert refused() == before + 1


@pytest.mark.security
@pytest.mark.parametrize("forged", FORGED_TARGETS)
def test_a_target_that_does_not_follow_is_refused(forged: str) -> None:
    """A1"""
    assert not RowGuard("nexus.internal", "test").admits_target(target(**FORGED_TARGETS[forged]))


def test_whoever_writes_rows_cannot_fill_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """A1: a row is told of once, and what is remembered of rows is bounded."""
    guard = RowGuard("nexus.internal", "test")
    for _ in range(3):
        for number in range(REMEMBERED):
            guard.admits(row(id=f"forged-{number}"))
    assert capsys.readouterr().out.count("row refused") == REMEMBERED
