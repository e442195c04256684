"""Starts the registry."""

import sys

from nexus_mesh.process import run

from nexus_registry.app import open_registry
from nexus_registry.config import RegistrySettings

if __name__ == "__main__":
    sys.exit(run("registry", RegistrySettings, open_registry))
