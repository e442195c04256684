"""Engines nobody listed: on this machine, and announced on the network."""

from nexus_inference_adapters.discovery.finding import Rescan
from nexus_inference_adapters.discovery.holdings import Holdings
from nexus_inference_adapters.discovery.mdns.browser import browsing

__all__ = ["Holdings", "Rescan", "browsing"]
