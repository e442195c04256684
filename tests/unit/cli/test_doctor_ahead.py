"""What the doctor tells ahead of failures, of meshes of every make."""

from __future__ import annotations

from pathlib import Path

import pytest
from nexus_cli.doctor_ahead import reach
from nexus_cli.layout import Layout, MeshFile


@pytest.mark.parametrize(
    ("vault", "told"),
    [
        ("127.0.0.1:7430", "this machine only"),
        ("[::1]:7430", "this machine only"),
        ("192.0.2.7:7430", "at 192.0.2.7"),
        ("vault:7430", "at vault"),
    ],
)
async def test_who_reaches_the_mesh_is_told_of_addresses_and_names(
    tmp_path: Path, vault: str, told: str
) -> None:
    """In containers members are called by name."""
    layout = Layout(tmp_path)
    layout.prepare()
    layout.write(MeshFile(node="n1", control={"vault": vault}, http="http://gateway:8080", pid=1))
    [finding] = await reach(layout)
    assert finding.ok
    assert told in finding.detail
