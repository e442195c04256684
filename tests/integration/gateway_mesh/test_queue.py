"""Waiting for a place: who goes when, who is turned away, and that nobody is forgotten."""

from __future__ import annotations

from collections import Counter

from nexus_gateway.core.priority import Priority
from nexus_mesh.core.errors import Reason
from support.crowd import PATIENT, Crowd, held_box, one_by_one, reason_of, refused, started, waiting
from support.gateway_bench import GatewayBench
from support.waiting import eventually


async def test_no_target_ever_has_more_than_its_places(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=4), queue=PATIENT)
    crowd = Crowd(bench)
    await crowd.send_all("r", 20)
    most = 0
    for number in range(20):
        await started(box, min(20, number + 4))
        most = max(most, box.active)
        box.let_go()
    assert await crowd.finish() == {"ok": 20}
    assert (most, waiting(), bench.pipeline.traffic.active) == (4, 0, {})


async def test_in_the_order_they_came(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=1), queue=PATIENT)
    crowd = Crowd(bench)
    await crowd.send_all("r", 6)
    assert await one_by_one(box, 6) == [f"r{number}" for number in range(6)]
    box.let_go()
    assert await crowd.finish() == {"ok": 6}


async def test_the_urgent_first_and_the_low_last(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=1), queue=PATIENT)
    crowd = Crowd(bench)
    await crowd.send("running")
    await crowd.send("low", "b", priority=Priority.LOW)
    await crowd.send_all("normal", 2, "c")
    await crowd.send("high", "d", priority=Priority.HIGH)
    assert await one_by_one(box, 5) == ["running", "high", "normal0", "normal1", "low"]
    box.let_go()
    await crowd.finish()


async def test_one_tenant_floods_and_the_others_are_served_promptly(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=2), queue=PATIENT)
    crowd = Crowd(bench)
    await crowd.send_all("flood", 60, "flooder")
    await crowd.send_all("b", 3, "b")
    await crowd.send_all("c", 3, "c")
    # Two ran before the others came; then all three take turns.
    await started(box, 2)
    for number in range(2, 12):
        box.let_go()
        await started(box, number + 1)
    order = await started(box, 12)
    assert {each for each in order if each[0] in "bc"} == {"b0", "b1", "b2", "c0", "c1", "c2"}
    box.let_go(60)
    assert await crowd.finish() == {"ok": 66}


async def test_weights_are_kept(bench: GatewayBench) -> None:
    box = await held_box(bench)
    queue = {**PATIENT, "tenant_share": 1}
    await bench.start(box.target(capacity=1), queue=queue)
    crowd = Crowd(bench)
    await crowd.send("running", "x")
    await crowd.send_all("light", 12, "light")
    await crowd.send_all("heavy", 12, "heavy", weight=3)
    order = await one_by_one(box, 13)
    assert Counter(each.rstrip("0123456789") for each in order[1:]) == {"light": 3, "heavy": 9}
    box.let_go(20)
    await crowd.finish()


async def test_a_tenant_holds_no_more_than_its_share_while_others_wait(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=4), queue=PATIENT)
    crowd = Crowd(bench)
    await crowd.send_all("a", 8, "a")
    await crowd.send_all("b", 8, "b")
    assert await started(box, 4) == ["a0", "a1", "a2", "a3"]
    # By turns the first place would be a's. But b has as many as it wants, until each of them holds a half.
    for number in range(4, 7):
        box.let_go()
        await started(box, number + 1)
    assert (await started(box, 7))[4:] == ["b0", "b1", "a4"]
    box.let_go(16)
    assert await crowd.finish() == {"ok": 16}


async def test_whoever_leaves_gives_its_place_in_the_queue_to_the_next(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=1), queue=PATIENT)
    crowd = Crowd(bench)
    await crowd.send_all("r", 4)
    await eventually(lambda: waiting() == 3, what="three to wait")
    crowd.tasks["r1"].cancel()
    await eventually(lambda: waiting() == 2, what="the one that left to be gone")
    assert await one_by_one(box, 3) == ["r0", "r2", "r3"]
    box.let_go()
    crowd.tasks.pop("r1")
    assert await crowd.finish() == {"ok": 3}


async def test_waiting_has_an_end(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=1), queue={"wait": 0.1})
    crowd, before = Crowd(bench), refused("timeout")
    await crowd.send_all("r", 2)
    error = await reason_of(crowd.tasks["r1"])
    assert (error.reason, error.metadata["reason"]) == (Reason.OVERLOAD, "saturated")
    assert float(error.metadata["eta_seconds"]) > 0
    assert (waiting(), refused("timeout") - before) == (0, 1)
    box.let_go()
    await crowd.tasks["r0"]


async def test_whoever_would_wait_too_long_is_told_at_once(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    box.delay = 0.3
    await bench.start(box.target(capacity=1), queue={"wait": 0.05})
    await bench.ask()  # from here on it is known how long one takes
    box.delay, box.mode = 0, "held"
    crowd, before = Crowd(bench), refused("eta")
    await crowd.send("running")
    error = await reason_of(await crowd.send("refused"))
    eta = float(error.metadata["eta_seconds"])
    assert (error.reason, error.metadata["reason"]) == (Reason.OVERLOAD, "saturated")
    assert eta >= 0.1
    assert error.retry_after is not None
    assert error.retry_after >= eta
    assert refused("eta") - before == 1
    box.let_go()
    await crowd.tasks["running"]
    assert len(box.seen) == 2


async def test_a_twentieth_of_the_total_time_is_waited_at_most(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=1), queue=PATIENT, timeouts={"total": 4})
    crowd = Crowd(bench)
    await crowd.send_all("r", 2)
    assert (await reason_of(crowd.tasks["r1"])).reason is Reason.OVERLOAD
    assert not crowd.tasks["r0"].done()
    box.let_go()
    await crowd.tasks["r0"]


async def test_a_full_queue_takes_from_those_who_have_most_of_it(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=1), queue={**PATIENT, "length": 4})
    crowd, before = Crowd(bench), refused("displaced")
    await crowd.send_all("a", 5, "a")
    alone = await reason_of(await crowd.send("a5", "a"))
    assert alone.reason is Reason.OVERLOAD
    await crowd.send("b0", "b")
    displaced = await reason_of(crowd.tasks["a4"])
    assert (displaced.reason, refused("displaced") - before) == (Reason.RATE_LIMIT, 1)
    over_its_share = await reason_of(await crowd.send("a6", "a"))
    assert over_its_share.reason is Reason.RATE_LIMIT
    assert waiting() == 4
    assert "b0" in await one_by_one(box, 3)
    box.let_go(5)
    assert await crowd.finish() == {"ok": 5, "OVERLOAD": 1, "RATE_LIMIT": 2}


async def test_drain_sends_away_who_waits_and_lets_finish_who_runs(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=1), queue=PATIENT)
    crowd = Crowd(bench)
    await crowd.send_all("r", 3)
    await started(box, 1)
    await eventually(lambda: waiting() == 2, what="two to wait")
    bench.mesh.draining.set()
    for name in ("r1", "r2"):
        assert (await reason_of(crowd.tasks[name])).reason is Reason.DRAINING
    assert (await reason_of(await crowd.send("r3"))).reason is Reason.DRAINING
    box.let_go()
    await crowd.tasks["r0"]
    assert waiting() == 0
