"""The one way to what requests name by URL."""

from nexus_gateway.fetching.fetching import Fetching

__all__ = ["Fetching"]
