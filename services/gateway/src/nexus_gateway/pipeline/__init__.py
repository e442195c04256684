"""What happens to a request, whatever it came by."""

from nexus_gateway.pipeline.pipeline import Pipeline

__all__ = ["Pipeline"]
