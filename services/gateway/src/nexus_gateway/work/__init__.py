"""Long work, which the store keeps and has run: how a gateway hands it in and asks for it."""

from nexus_gateway.work.client import LongWork, Reading

__all__ = ["LongWork", "Reading"]
