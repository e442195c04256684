"""What is made of an engine that runs elsewhere, outside the mesh."""

from __future__ import annotations

import dataclasses

from nexus_inference_adapters.contract import Inspection, Offer

__all__ = ["MODELS", "as_remote"]

MODELS = 50
"""Of a found engine. Nobody vouches for what it says of itself, and it must not fill the registry's entry."""
ID_BYTES = 200


def as_remote(inspection: Inspection, *, found: bool) -> Inspection:
    """The same with every model marked as remote. `found`: nobody listed it, so its word counts for little."""
    offers = [offer for offer in inspection.offers if not found or _is_modest(offer)]
    for offer in offers:
        offer.model.remote = True
        if found:
            offer.model.owner = ""
    return dataclasses.replace(inspection, offers=offers[:MODELS] if found else offers)


def _is_modest(offer: Offer) -> bool:
    return offer.model.id.isprintable() and 0 < len(offer.model.id.encode()) <= ID_BYTES
