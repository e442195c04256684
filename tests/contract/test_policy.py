"""The policy table is complete, and says nothing of methods that do not exist."""

from __future__ import annotations

from nexus_mesh.identity.roles import ROLES
from nexus_mesh.rpc.policy import ENDLESS, POLICY, PUBLIC
from support.contract import rpcs


def test_every_method_has_a_verdict_and_every_verdict_a_method() -> None:
    assert set(POLICY) | PUBLIC == {rpc.path for rpc in rpcs()}
    assert not set(POLICY) & PUBLIC


def test_verdicts_name_known_roles_and_nobody_is_forgotten_by_accident() -> None:
    assert {role for roles in POLICY.values() for role in roles} <= set(ROLES)
    assert all(roles for roles in POLICY.values())


def test_endless_streams_are_streams() -> None:
    streaming = {rpc.path for rpc in rpcs() if rpc.server_streaming}
    assert streaming >= ENDLESS
    assert streaming - ENDLESS == {
        "/nexus.inference.v1.InferenceService/Stream",
        "/nexus.inference.v1.InferenceService/Upload",
        "/nexus.lifecycle.v1.LifecycleService/Pull",
        "/nexus.mesh.v1.TunnelService/Open",
    }
