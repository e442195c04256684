"""What is believed of an engine's word about itself: as much as the registry takes, and no more of it kept here."""

from __future__ import annotations

import dataclasses

from nexus_mesh.rows import REASON, fitting_models, shown

from nexus_inference_adapters.backend_config import MOST_AT_ONCE
from nexus_inference_adapters.contract import Inspection

__all__ = ["fitting"]


def fitting(inspection: Inspection) -> Inspection:
    """The same without models nobody could ask for; the reason tells how many, and why."""
    models, note = fitting_models([offer.model for offer in inspection.offers])
    kept = {id(model) for model in models}
    return dataclasses.replace(
        inspection,
        reason=shown(f"{inspection.reason} {note}".strip(), REASON),
        offers=[offer for offer in inspection.offers if id(offer.model) in kept],
        capacity=min(max(inspection.capacity, 0), MOST_AT_ONCE),
    )
