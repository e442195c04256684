"""How a prompt may leave its zone: without what it must not say."""

from nexus_gateway.scrubbing.zone_exit import ZoneExits

__all__ = ["ZoneExits"]
