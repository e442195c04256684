"""The backends of this process: watched, limited, measured, their memory managed."""

from nexus_inference_adapters.host.backend import Backend
from nexus_inference_adapters.host.host import Host
from nexus_inference_adapters.host.lifecycle import Lifecycle

__all__ = ["Backend", "Host", "Lifecycle"]
