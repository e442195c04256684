"""Who waits for a model, and whose turn it is."""

from nexus_gateway.queues.fair_queue import Targets, Ticket
from nexus_gateway.queues.line import Line

__all__ = ["Line", "Targets", "Ticket"]
