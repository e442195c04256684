"""Starts the gateway."""

import sys

from nexus_mesh.process import run

from nexus_gateway.app import open_gateway
from nexus_gateway.config import GatewaySettings

if __name__ == "__main__":
    sys.exit(run("gateway", GatewaySettings, open_gateway))
