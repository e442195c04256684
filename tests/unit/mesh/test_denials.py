"""The list of withdrawn identities: kept, versioned, and asked of callers and of servers alike."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from nexus_mesh.core.errors import ConfigError, MeshError, Reason
from nexus_mesh.identity.denials import Denials
from nexus_mesh.identity.spiffe import SpiffeId
from nexus_mesh.process.mesh import Mesh
from nexus_mesh.settings.service import ServiceSettings
from support.ca import MeshCA

pytestmark = pytest.mark.security
WHO = SpiffeId("nexus.internal", "default", "worker", "adapter", "main")
OTHER = SpiffeId("nexus.internal", "default", "box", "adapter", "main")


def test_what_was_saved_is_known_again(tmp_path: Path) -> None:
    """A2: a service that starts while the vault is away knows who was withdrawn."""
    denied = Denials()
    denied.replace([str(WHO)], 7)
    denied.save(tmp_path / "identity")
    again = Denials()
    again.load(tmp_path / "identity")
    assert (set(again), again.revision) == ({str(WHO)}, 7)
    (file,) = (tmp_path / "identity").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_an_older_list_never_replaces_a_newer() -> None:
    """A2: a vault from before a denial cannot take it back by being put back."""
    denied = Denials()
    denied.replace([str(WHO)], 7)
    assert denied.replace([], 6) == frozenset()
    assert str(WHO) in denied
    assert denied.replace([str(OTHER)], 8) == {str(OTHER)}
    assert set(denied) == {str(OTHER)}


def test_nothing_saved_is_nobody_denied(tmp_path: Path) -> None:
    """A2"""
    denied = Denials()
    denied.load(tmp_path)
    assert not denied


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"revision": "x", "denied": []}', '{"denied": []}'])
def test_a_list_that_cannot_be_read_is_not_an_empty_one(tmp_path: Path, content: str) -> None:
    """A2: the service does not start, and says which file it is."""
    (tmp_path / "denied.json").write_text(content)
    with pytest.raises(ConfigError, match=r"denied\.json"):
        Denials().load(tmp_path)


def test_servers_are_denied_by_the_name_their_certificate_proves() -> None:
    """A2: the one question for targets."""
    denied = Denials()
    denied.replace([str(WHO), "nonsense"], 1)
    assert denied.has_server(WHO.server_name)
    assert not denied.has_server(OTHER.server_name)


async def test_a_withdrawn_service_is_not_dialled(tmp_path: Path) -> None:
    """A2: nothing is sent to a target that was withdrawn, whoever still names its address."""
    settings = ServiceSettings.model_validate({"home": tmp_path})
    async with Mesh(settings, MeshCA().identity("gateway")) as mesh:
        mesh.dial("127.0.0.1:1", WHO.server_name)
        mesh.denied.replace([str(WHO)], 1)
        with pytest.raises(MeshError) as refusal:
            mesh.dial("127.0.0.1:1", WHO.server_name)
        assert refusal.value.reason is Reason.BACKEND_DOWN
        mesh.dial("127.0.0.1:1", OTHER.server_name)
        mesh.denied.replace([], 2)
        mesh.dial("127.0.0.1:1", WHO.server_name)
