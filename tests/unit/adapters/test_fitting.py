"""An engine's word about itself: what nobody could ask for is left out, and told."""

from __future__ import annotations

from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_inference_adapters.contract.work import Inspection, Offer
from nexus_inference_adapters.host.watching import fitting
from nexus_mesh.rows.limits import MODELS


def inspection(*ids: str, reason: str = "", capacity: int = 3) -> Inspection:
    offers = [Offer(model_pb2.Model(id=name), name) for name in ids]
    return Inspection(instance_pb2.STATE_ACTIVE, reason, offers, capacity)


def test_good_ones_stay_and_bad_ones_are_told_of() -> None:
    """A3"""
    seen = fitting(inspection("a", "b\x00", "x" * 257, "", "c"))
    assert [offer.model.id for offer in seen.offers] == ["a", "c"]
    assert seen.reason.startswith("3 of its 5 models are left out")
    assert (seen.state, seen.capacity) == (instance_pb2.STATE_ACTIVE, 3)


def test_what_is_good_is_not_touched() -> None:
    assert fitting(inspection("a", "a", "b")) == inspection("a", "a", "b")


def test_more_than_may_be_are_cut() -> None:
    """A3"""
    seen = fitting(inspection(*(str(number) for number in range(MODELS + 5)), reason="loading\nit"))
    assert len(seen.offers) == MODELS
    assert seen.reason.startswith(f"loading it Of its {MODELS + 5} models only the first {MODELS}")


def test_a_capacity_nobody_has_is_none_that_breaks_the_entry() -> None:
    """A3: numbers too are an engine's word."""
    for told in (2**40, -1):
        instance_pb2.Load(capacity=fitting(inspection("a", capacity=told)).capacity)
