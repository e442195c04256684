"""What keeps a vault from opening."""

from __future__ import annotations

from nexus_mesh.core import MeshError, Reason

__all__ = ["VaultUnusableError"]


class VaultUnusableError(MeshError):
    """The vault's files do not allow it to work. The message names the file and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.STORE_UNAVAILABLE, message)
