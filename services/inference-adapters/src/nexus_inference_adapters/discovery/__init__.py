"""Engines nobody listed: on this machine, and announced on the network."""

from nexus_inference_adapters.discovery.backends import DiscoveredBackends
from nexus_inference_adapters.discovery.finding import PORTS, Rescan, discover
from nexus_inference_adapters.discovery.mdns.browser import browsing

__all__ = ["PORTS", "DiscoveredBackends", "Rescan", "browsing", "discover"]
