"""Runs the vault."""

from __future__ import annotations

import sys

from nexus_mesh.process import run

from nexus_vault.app import open_vault
from nexus_vault.config import VaultSettings
from nexus_vault.enroll import enroll

if __name__ == "__main__":
    sys.exit(run("vault", VaultSettings, open_vault, enroll=enroll))
