"""What concerns a whole registration. What does not fit in one of its parts costs that part: `nexus_mesh.rows`."""

from __future__ import annotations

from nexus_mesh.core import MeshError, Reason
from nexus_mesh.rows import VERSION, is_text


def check_port(port: int) -> None:
    """Raises INVALID_REQUEST unless it is a TCP port."""
    if not 0 < port < 65536:
        raise _invalid("port", "port must be 1 to 65535")


def check_version(version: str) -> None:
    """Raises INVALID_REQUEST for a text no version of ours would be."""
    if not is_text(version, VERSION):
        raise _invalid("version", f"version must be at most {VERSION} printable characters")


def _invalid(field: str, problem: str) -> MeshError:
    return MeshError(
        Reason.INVALID_REQUEST,
        f"The registry did not take this registration: {problem}.",
        metadata={"param": field},
    )
