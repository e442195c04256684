"""What may stand in a row of the registry, and what follows from whose it is."""

from nexus_mesh.rows.identity import RowGuard
from nexus_mesh.rows.limits import BACKENDS, DEVICES, MODEL_ID, PRIORITY, REASON, TIER, VERSION, is_text
from nexus_mesh.rows.parts import fitted, fitting_models, shown

__all__ = [
    "BACKENDS",
    "DEVICES",
    "MODEL_ID",
    "PRIORITY",
    "REASON",
    "TIER",
    "VERSION",
    "RowGuard",
    "fitted",
    "fitting_models",
    "is_text",
    "shown",
]
