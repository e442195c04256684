"""What the registry does not take at all, and how it says so."""

from __future__ import annotations

import pytest
from nexus_mesh.core.errors import MeshError, Reason
from nexus_registry.limits import check_port, check_version


@pytest.mark.parametrize("port", [0, 65536, 4_000_000_000])
def test_port(port: int) -> None:
    with pytest.raises(MeshError) as caught:
        check_port(port)
    assert (caught.value.reason, caught.value.metadata) == (Reason.INVALID_REQUEST, {"param": "port"})


def test_version() -> None:
    check_version("0.1.0+build")
    for version in ("x" * 65, "1\n2"):
        with pytest.raises(MeshError):
            check_version(version)
