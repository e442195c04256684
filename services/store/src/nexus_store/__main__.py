"""Starts the store."""

import sys

from nexus_mesh.process import run

from nexus_store.app import open_store
from nexus_store.config import StoreSettings

if __name__ == "__main__":
    sys.exit(run("store", StoreSettings, open_store))
