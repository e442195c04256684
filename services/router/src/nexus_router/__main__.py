"""Starts the router."""

import sys

from nexus_mesh.process import run

from nexus_router.app import open_router
from nexus_router.config import RouterSettings

if __name__ == "__main__":
    sys.exit(run("router", RouterSettings, open_router))
