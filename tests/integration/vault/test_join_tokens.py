"""P-10: a join token lets its one identity in, once, in time."""

from __future__ import annotations

import asyncio
import datetime
from pathlib import Path

import pytest
import structlog
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.identity.claims import UNLIMITED
from nexus_mesh.identity.spiffe import SpiffeId
from nexus_mesh.rpc import token_of
from nexus_vault.core import Core, open_core
from nexus_vault.join_tokens import DEFAULT_TTL, JoinTokens
from support.vault import TurnableClock, spiffe, vault_settings

WORKER = spiffe("adapter", "ollama", node="worker", zone="restricted")


async def _outcome(tokens: JoinTokens, secret: str) -> SpiffeId | Reason:
    try:
        return (await tokens.redeem(secret))[0]
    except MeshError as error:
        return error.reason


async def test_a_token_stands_for_the_identity_it_was_made_for(tokens: JoinTokens) -> None:
    secret, _ = await tokens.create(WORKER, DEFAULT_TTL)
    assert await tokens.redeem(secret) == (WORKER, UNLIMITED)


async def test_of_a_thousand_at_once_one_gets_in(tokens: JoinTokens) -> None:
    secret, _ = await tokens.create(WORKER, DEFAULT_TTL)
    with structlog.testing.capture_logs() as logs:
        outcomes = await asyncio.gather(*(_outcome(tokens, secret) for _ in range(1000)))
    assert (outcomes.count(WORKER), outcomes.count(Reason.JOIN_TOKEN)) == (1, 999)
    reuses = [entry for entry in logs if entry["event"] == "join_token_reuse"]
    assert len(reuses) == 999
    assert {entry["identity"] for entry in reuses} == {str(WORKER)}
    assert secret not in str(logs)


async def test_vaults_on_one_store_let_one_in_between_them(
    tmp_path: Path, core: Core, tokens: JoinTokens, clock: TurnableClock
) -> None:
    """What makes it single-use is the store, not a lock in one process."""
    async with open_core(vault_settings(tmp_path), clock) as other:
        both = (tokens, JoinTokens(other.database, other.pepper, clock))
        for _ in range(20):
            secret, _ = await tokens.create(WORKER, DEFAULT_TTL)
            outcomes = await asyncio.gather(*(_outcome(side, secret) for side in both * 4))
            assert (outcomes.count(WORKER), outcomes.count(Reason.JOIN_TOKEN)) == (1, 7)


async def test_a_token_works_until_it_ends_and_not_after(tokens: JoinTokens, clock: TurnableClock) -> None:
    in_time, ends = await tokens.create(WORKER, DEFAULT_TTL)
    too_late, _ = await tokens.create(WORKER, DEFAULT_TTL)
    assert ends == clock() + datetime.timedelta(minutes=10)
    clock.turn(seconds=599)
    assert await _outcome(tokens, in_time) == WORKER
    clock.turn(seconds=1)
    assert await _outcome(tokens, too_late) is Reason.JOIN_TOKEN


@pytest.mark.security
@pytest.mark.parametrize(("minutes", "withdrawn"), [(0, True), (11, True), (69, True), (71, False)])
async def test_a_second_use_withdraws_unless_the_token_is_long_over(
    core: Core, clock: TurnableClock, minutes: float, withdrawn: bool
) -> None:
    """A6: a thief loses the identity; a member that was away and shows its old token does not."""
    told: list[SpiffeId] = []

    async def on_reuse(spiffe: SpiffeId) -> None:
        told.append(spiffe)

    tokens = JoinTokens(core.database, core.pepper, clock, on_reuse)
    secret, _ = await tokens.create(WORKER, DEFAULT_TTL)
    await tokens.redeem(secret, b"k" * 32)
    clock.turn(minutes=minutes)
    assert await _outcome(tokens, secret) is Reason.JOIN_TOKEN
    assert told == [WORKER] * withdrawn


@pytest.mark.parametrize("secret", ["", "a", "x" * 43, "é" * 43, "\x00", "' OR 1=1 --", "x" * 1_000_000])
async def test_what_is_no_secret_lets_nobody_in(tokens: JoinTokens, secret: str) -> None:
    await tokens.create(WORKER, DEFAULT_TTL)
    assert await _outcome(tokens, secret) is Reason.JOIN_TOKEN


async def test_every_refusal_reads_the_same(tokens: JoinTokens, clock: TurnableClock) -> None:
    used, _ = await tokens.create(WORKER, DEFAULT_TTL)
    expired, _ = await tokens.create(WORKER, datetime.timedelta(seconds=1))
    await tokens.redeem(used)
    clock.turn(seconds=2)
    messages = set()
    for secret in (used, expired, "unknown"):
        with pytest.raises(MeshError) as refusal:
            await tokens.redeem(secret)
        messages.add((refusal.value.message, *refusal.value.metadata))
    assert len(messages) == 1


@pytest.mark.parametrize("hours", [-1.0, 0.0, 24.01])
async def test_lives_out_of_range_are_refused(tokens: JoinTokens, hours: float) -> None:
    with pytest.raises(MeshError) as refusal:
        await tokens.create(WORKER, datetime.timedelta(hours=hours))
    assert (refusal.value.reason, refusal.value.metadata) == (Reason.INVALID_REQUEST, {"param": "ttl"})


async def test_old_tokens_are_forgotten(tokens: JoinTokens, clock: TurnableClock) -> None:
    old, _ = await tokens.create(WORKER, DEFAULT_TTL)
    await tokens.redeem(old)
    clock.turn(days=31)
    await tokens.create(WORKER, DEFAULT_TTL)
    with structlog.testing.capture_logs() as logs:
        assert await _outcome(tokens, old) is Reason.JOIN_TOKEN
    assert logs == []


async def test_only_what_may_still_be_redeemed_is_listed_and_no_secret(
    tokens: JoinTokens, clock: TurnableClock
) -> None:
    made = [await tokens.create(spiffe("adapter", f"a{n}"), DEFAULT_TTL) for n in range(4)]
    made += [await tokens.create(WORKER, DEFAULT_TTL), await tokens.create(WORKER, 2 * DEFAULT_TTL)]
    await tokens.redeem(made[0][0])
    listed, more = await tokens.page(0, "")
    assert more == ""
    assert sorted((one.spiffe_id, one.expire_time) for one in listed) == sorted(
        [(str(spiffe("adapter", f"a{n}")), made[n][1]) for n in (1, 2, 3)]
        + [(str(WORKER), made[4][1]), (str(WORKER), made[5][1])]
    )
    assert not any(secret in repr(listed) for secret, _ in made)
    paged, token = [], ""
    while True:
        page, token = await tokens.page(1, token)
        paged += page
        if not token:
            break
    assert paged == listed, "page by page, also of one identity with two"
    clock.turn(minutes=11)
    assert [one.spiffe_id for one in (await tokens.page(0, ""))[0]] == [str(WORKER)]
    for odd in ("x", token_of("keys", "1", "2"), token_of("join_tokens", "a", "zz"), token_of("join_tokens")):
        with pytest.raises(MeshError) as refused:
            await tokens.page(0, odd)
        assert refused.value.reason is Reason.INVALID_REQUEST
