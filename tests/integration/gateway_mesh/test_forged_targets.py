"""Where a prompt may go is in certificates: targets that say otherwise lead nowhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from nexus.router.v1.snapshot_pb2 import Target
from nexus_mesh.core.errors import MeshError
from nexus_mesh.identity.tls import Identity
from support.gateway_bench import GatewayBench
from support.scripted_adapter import ScriptedAdapter, serve_adapter

pytestmark = pytest.mark.security

INSIDE = ("inside", "restricted")


def of_another(rogue: Target, true: Target) -> None:
    """It names the true one, and where it really is."""
    rogue.id, rogue.instance, rogue.backend = true.id, true.instance, true.backend
    rogue.server_name, rogue.zone = true.server_name, true.zone


def in_the_zone(rogue: Target, _: Target) -> None:
    """It is who it is, and says it were in the zone."""
    rogue.zone = "restricted"


def by_a_name_of_the_zone(rogue: Target, true: Target) -> None:
    """It keeps its id, and says it is dialled by the true one's name."""
    rogue.zone, rogue.server_name = "restricted", true.server_name


def by_its_own_name_there(rogue: Target, _: Target) -> None:
    """What its row would be if it had joined with that zone; its certificate says it did not."""
    rogue.zone = "restricted"
    rogue.server_name = rogue.server_name.replace(".default.zone.", ".restricted.zone.")


FORGERIES: tuple[Callable[[Target, Target], None], ...] = (
    of_another,
    in_the_zone,
    by_a_name_of_the_zone,
    by_its_own_name_there,
)


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
async def test_a_prompt_that_demands_a_zone_never_goes_to_who_only_says_it_is_there(
    bench: GatewayBench, forge: Callable[[Target, Target], None]
) -> None:
    """A1: with the true one away and beside it."""
    true, rogue = await bench.adapter(*INSIDE), await bench.adapter("rogue")
    row = rogue.target(priority=1)
    forge(row, true.target())
    await bench.start(row)
    await _refused(bench, rogue)
    shown = bench.pipeline.table.snapshot
    beside = [true.target()] if row.id != true.target().id else []
    bench.control.router.show(row, *beside)
    await bench.until_newer(shown)
    if beside:
        for _ in range(5):
            assert (await bench.ask(zone="restricted")).served.backend == "inside"
    else:
        await _refused(bench, rogue)
    assert rogue.seen == []


async def test_the_certificate_of_before_a_move_does_not_pass_after_it(bench: GatewayBench) -> None:
    """A1: X was in the default zone, and joined anew with `token create --node X --zone restricted`."""
    before = bench.ca.identity("adapter", "x")
    after = bench.ca.identity("adapter", "x", zone="restricted")
    async with serve_adapter(before) as old, serve_adapter(after) as new:
        await bench.start(new.target(address=old.address))
        await _refused(bench, old)
        shown = bench.pipeline.table.snapshot
        bench.control.router.show(new.target())
        await bench.until_newer(shown)
        assert (await bench.ask(zone="restricted")).served.instance == "n1/adapter/x"
        assert (old.seen, len(new.seen)) == ([], 1)


async def test_a_certificate_without_its_zone_in_its_name_does_not_pass(bench: GatewayBench) -> None:
    """A1: one of an earlier release, until it is renewed."""
    spiffe = bench.ca.spiffe("adapter", "x", zone="restricted")
    older = Identity(bench.ca.material(spiffe, dns=["x.n1.adapter.nexus.internal"]))
    async with serve_adapter(older) as old:
        await bench.start(old.target())
        await _refused(bench, old)


async def _refused(bench: GatewayBench, rogue: ScriptedAdapter) -> None:
    with pytest.raises(MeshError):
        await bench.ask(zone="restricted")
    assert rogue.seen == []
