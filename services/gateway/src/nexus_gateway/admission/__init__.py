"""Who gets a place now, who waits for one, and who is turned away."""

from nexus_gateway.admission.admission import Admission
from nexus_gateway.admission.settings import QueueSettings

__all__ = ["Admission", "QueueSettings"]
