"""The painter in the box: pictures of what its own few words say, from a process of its own."""

from nexus_inference_adapters.kinds.painter.adapter import Painter

__all__ = ["Painter"]
