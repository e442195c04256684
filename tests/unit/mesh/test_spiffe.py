"""Names of the mesh."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from nexus_mesh.identity.join_token import JoinToken
from nexus_mesh.identity.roles import ROLES
from nexus_mesh.identity.spiffe import SpiffeId, role_server_name
from support.properties import examples, given

LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
FEW = st.sampled_from(("a", "b", "zone", "adapter"))
IDENTITIES = st.builds(
    SpiffeId, st.just("nexus.internal"), FEW | LABELS, FEW | LABELS, st.sampled_from(ROLES), FEW | LABELS
)


@examples(2_000)
@given(LABELS, LABELS, st.sampled_from(ROLES), LABELS)
def test_a_name_survives_its_text(zone: str, node: str, role: str, name: str) -> None:
    spiffe = SpiffeId("nexus.internal", zone, node, role, name)
    assert SpiffeId.parse(str(spiffe)) == spiffe


@examples(2_000)
@given(IDENTITIES, IDENTITIES)
def test_two_identities_never_share_a_server_name(one: SpiffeId, other: SpiffeId) -> None:
    """A1: nor do those of one instance in two zones."""
    assert (one.server_name == other.server_name) == (one == other)
    for role in ROLES:
        assert one.server_name != role_server_name(role, "nexus.internal")


@examples(2_000)
@given(IDENTITIES)
def test_an_identity_follows_from_its_instance_id_and_zone(one: SpiffeId) -> None:
    assert SpiffeId.of_instance(one.instance_id, one.zone, one.trust_domain) == one


def test_the_longest_names_make_a_name_certificates_take() -> None:
    SpiffeId("nexus.internal", "z" * 63, "n" * 63, "registry", "a" * 63)
    with pytest.raises(ValueError, match="253"):
        SpiffeId(f"{'d' * 60}.internal", "z" * 63, "n" * 63, "registry", "a" * 63)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://nexus.internal/zone/z/node/n/adapter/a",
        "spiffe://nexus.internal/zone/z/node/n/adapter",
        "spiffe://nexus.internal/zone/z/node/n/adapter/a/b",
        "spiffe://nexus.internal/zone/z/node/n/root/a",
        "spiffe://nexus.internal/zone/z/node/a.b/adapter/a",
        "spiffe://nexus.internal/zone/../node/n/adapter/a",
        "spiffe://nexus.internal/zone/z/node/N/adapter/a",
    ],
)
def test_what_is_no_name_of_the_mesh_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        SpiffeId.parse(text)


def test_a_join_token_survives_its_text_and_hides_its_secret() -> None:
    token = JoinToken("10.0.0.1:7431", "nexus.internal", bytes(range(32)), "s" * 32)
    assert JoinToken.decode(f" {token.encode()}\n") == token
    assert "ssss" not in repr(token)


@pytest.mark.parametrize(
    "text", ["", "nxj_", "nxj_!!!", "hello", JoinToken("a", "b", bytes(32), "d" * 32).encode()[:-6]]
)
def test_a_damaged_join_token_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="token"):
        JoinToken.decode(text)
