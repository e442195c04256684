"""The policy table is complete, and says nothing of methods that do not exist."""

from __future__ import annotations

from nexus_mesh.identity.roles import ROLES
from nexus_mesh.rpc.policy import AT, ENDLESS, POLICY, PUBLIC, may_call
from support.contract import rpcs


def test_every_method_has_a_verdict_and_every_verdict_a_method() -> None:
    assert set(POLICY) | PUBLIC == {rpc.path for rpc in rpcs()}
    assert not set(POLICY) & PUBLIC


def test_verdicts_name_known_roles_and_nobody_is_forgotten_by_accident() -> None:
    assert {role for roles in POLICY.values() for role in roles} <= set(ROLES)
    assert all(roles for roles in POLICY.values())


def test_what_more_is_granted_at_one_role_is_granted_of_methods_there_are_and_to_roles_there_are() -> None:
    assert set(AT) <= set(ROLES)
    for rows in AT.values():
        assert set(rows) <= set(POLICY)
        assert all(roles and roles <= set(ROLES) for roles in rows.values())


INFERENCE = {
    f"/nexus.inference.v1.InferenceService/{name}" for name in ("Complete", "Stream", "CountTokens", "Upload")
}
OWN = {"/nexus.vault.v1.IdentityService/Renew", "/nexus.vault.v1.IdentityService/WatchTrust"}


def test_a_client_may_ask_the_gateway_to_infer_and_keep_its_own_identity_and_nothing_else() -> None:
    """Walked here by table; over real connections in tests/integration/mesh and tests/e2e."""
    for server in ROLES:
        allowed = {rpc.path for rpc in rpcs() if may_call("client", rpc.path, server)}
        assert allowed == (OWN | INFERENCE if server == "gateway" else OWN), server


def test_endless_streams_are_streams() -> None:
    streaming = {rpc.path for rpc in rpcs() if rpc.server_streaming}
    assert streaming >= ENDLESS
    assert streaming - ENDLESS == {
        "/nexus.inference.v1.InferenceService/Stream",
        "/nexus.inference.v1.InferenceService/Upload",
        "/nexus.lifecycle.v1.LifecycleService/Pull",
        "/nexus.mesh.v1.TunnelService/Open",
        "/nexus.store.v1.StoreService/Get",
        "/nexus.store.v1.WorkService/WatchWork",
    }
