"""Engines nobody listed: on this machine, and announced on the network."""

from nexus_inference_adapters.discovery.backends import DiscoveredBackends
from nexus_inference_adapters.discovery.finding import Rescan, discover
from nexus_inference_adapters.discovery.mdns.browser import browsing

__all__ = ["DiscoveredBackends", "Rescan", "browsing", "discover"]
