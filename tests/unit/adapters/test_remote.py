"""Engines outside the mesh: in no zone but the open one, and not believed much."""

from __future__ import annotations

from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_inference_adapters.contract.work import Inspection, Offer
from nexus_inference_adapters.host.watching import MODELS, as_remote


def inspection(*ids: str) -> Inspection:
    offers = [Offer(model_pb2.Model(id=name, owner="o" * 500), name) for name in ids]
    return Inspection(instance_pb2.STATE_ACTIVE, offers=offers, capacity=3)


def test_every_model_is_remote_and_the_rest_stays() -> None:
    seen = as_remote(inspection("a", "b"), found=False)
    assert [(offer.model.id, offer.model.remote) for offer in seen.offers] == [("a", True), ("b", True)]
    assert (seen.state, seen.capacity) == (instance_pb2.STATE_ACTIVE, 3)


def test_one_that_was_found_cannot_fill_the_registrys_entry() -> None:
    many = [f"model-{number}" for number in range(1000)]
    seen = as_remote(inspection("x" * 201, "bad\nname", "", *many), found=True)
    assert [offer.model.id for offer in seen.offers] == many[:MODELS]
    assert {offer.model.owner for offer in seen.offers} == {""}
    listed = as_remote(inspection("x" * 201, *many), found=False)
    assert len(listed.offers) == 1001
