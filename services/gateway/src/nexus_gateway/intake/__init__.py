"""How bodies come in: room for their bytes, turns at being read, forms with files."""

from nexus_gateway.intake.forms import Form, FormLimits, boundary_of, read_form
from nexus_gateway.intake.intake import (
    SPOOL_BYTES,
    BodyBudget,
    Check,
    Hold,
    Intake,
    body_bytes,
    memory_limit,
)
from nexus_gateway.intake.spool import Spool

__all__ = [
    "SPOOL_BYTES",
    "BodyBudget",
    "Check",
    "Form",
    "FormLimits",
    "Hold",
    "Intake",
    "Spool",
    "body_bytes",
    "boundary_of",
    "memory_limit",
    "read_form",
]
