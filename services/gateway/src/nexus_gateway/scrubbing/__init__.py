"""How a prompt may leave its zone: without what it must not say."""

from nexus_gateway.scrubbing.crossing import Crossings

__all__ = ["Crossings"]
