"""Names of the mesh."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nexus_mesh.join_token import JoinToken
from nexus_mesh.spiffe import ROLES, SpiffeId

LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


@given(LABELS, LABELS, st.sampled_from(ROLES), LABELS)
def test_a_name_survives_its_text(zone: str, node: str, role: str, name: str) -> None:
    spiffe = SpiffeId("nexus.internal", zone, node, role, name)
    assert SpiffeId.parse(str(spiffe)) == spiffe


@given(LABELS, LABELS, LABELS, LABELS)
def test_two_identities_never_share_a_server_name(
    node: str, name: str, other_node: str, other_name: str
) -> None:
    one = SpiffeId("nexus.internal", "z", node, "adapter", name)
    other = SpiffeId("nexus.internal", "z", other_node, "adapter", other_name)
    assert (one.server_name == other.server_name) == (one == other)


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
