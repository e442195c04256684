"""Who waits, and whose turn it is."""

from nexus_gateway.queues.fair_queue import FairQueue, Targets, Ticket

__all__ = ["FairQueue", "Targets", "Ticket"]
