"""How bodies come in: room for their bytes, turns at being read."""

from nexus_gateway.intake.intake import BodyBudget, Hold, Intake, body_bytes, memory_limit

__all__ = ["BodyBudget", "Hold", "Intake", "body_bytes", "memory_limit"]
