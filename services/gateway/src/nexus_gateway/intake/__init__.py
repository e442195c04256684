"""How bodies come in: room for their bytes, turns at being read."""

from nexus_gateway.intake.body_budget import BodyBudget, Hold
from nexus_gateway.intake.intake import Intake
from nexus_gateway.intake.memory import body_bytes, memory_limit

__all__ = ["BodyBudget", "Hold", "Intake", "body_bytes", "memory_limit"]
