"""The cache of key verdicts: what is kept, for how long, and what ends it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from nexus_gateway.access.accounts import Account, Key, Principal, Tenant
from nexus_gateway.access.principals import KEPT_REFUSALS, REFUSAL_SECONDS, Authenticator
from nexus_mesh.core.errors import MeshError, Reason


def account(key_id: str, name: str, **more: Any) -> Account:
    return Account.of(Key(key_id, name, **more), Tenant())


class Vault:
    """Answers verify() from a dict; `error` replaces the answer, `gate` holds it back."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.keys: dict[str, Account] = {"good": account("id1", "mine")}
        self.error: MeshError | None = None
        self.gate: asyncio.Event | None = None
        self.asked: list[str] = []
        self.authenticator = Authenticator(self.verify, lambda: self.now)

    async def verify(self, secret: str) -> Account:
        self.asked.append(secret)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        if secret not in self.keys:
            raise MeshError(Reason.CALLER_KEY, "no")
        return self.keys[secret]

    async def refused(self, credential: str | None) -> MeshError:
        with pytest.raises(MeshError) as caught:
            await self.authenticator.authenticate(credential)
        return caught.value


@pytest.fixture
def vault() -> Vault:
    return Vault()


async def test_expiry_holds_without_the_vault(vault: Vault) -> None:
    vault.keys["good"] = account("id1", "mine", expires_at=1005.0)
    assert (await vault.authenticator.authenticate("good")).id == "id1"
    vault.error = MeshError(Reason.BACKEND_DOWN, "gone")
    vault.now = 1004.9
    assert (await vault.authenticator.authenticate("good")).id == "id1"
    vault.now = 1005.0
    assert (await vault.refused("good")).reason is Reason.CALLER_KEY


async def test_revoked_id_is_never_good_again(vault: Vault) -> None:
    await vault.authenticator.authenticate("good")
    vault.authenticator.revoke("id1")
    assert (await vault.refused("good")).reason is Reason.CALLER_KEY
    assert (await vault.refused("good")).reason is Reason.CALLER_KEY


async def test_revocation_that_overtakes_the_verdict_wins(vault: Vault) -> None:
    vault.gate = asyncio.Event()
    asking = asyncio.create_task(vault.refused("good"))
    while not vault.asked:  # noqa: ASYNC110 - the vault of this test has no event for it
        await asyncio.sleep(0)
    vault.authenticator.revoke("id1")
    vault.gate.set()
    assert (await asking).reason is Reason.CALLER_KEY


async def test_a_no_is_kept_for_a_second(vault: Vault) -> None:
    await vault.refused("new")
    vault.keys["new"] = account("id2", "late")
    await vault.refused("new")
    assert vault.asked == ["new"]
    vault.now += REFUSAL_SECONDS
    assert (await vault.authenticator.authenticate("new")).id == "id2"


async def test_kept_refusals_are_bounded(vault: Vault) -> None:
    for number in range(KEPT_REFUSALS + 1):
        await vault.refused(str(number))
    vault.asked.clear()
    await vault.refused("0")
    await vault.refused(str(KEPT_REFUSALS))
    assert vault.asked == ["0"]


@pytest.mark.parametrize(
    "reason", [Reason.BACKEND_DOWN, Reason.TIMEOUT, Reason.STORE_UNAVAILABLE, Reason.INTERNAL]
)
async def test_no_answer_is_not_a_no(vault: Vault, reason: Reason) -> None:
    vault.error = MeshError(reason, "trouble inside")
    error = await vault.refused("good")
    assert error.reason is Reason.AUTH_UNAVAILABLE
    assert error.retry_after
    assert "trouble" not in error.message
    vault.error = None
    assert (await vault.authenticator.authenticate("good")).id == "id1"


async def test_one_question_for_all_who_wait_and_one_leaving_stops_nobody(vault: Vault) -> None:
    vault.gate = asyncio.Event()
    waiting = [asyncio.create_task(vault.authenticator.authenticate("good")) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    vault.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert [result.id for result in results[1:] if isinstance(result, Principal)] == ["id1"] * 4
    assert vault.asked == ["good"]


@pytest.mark.parametrize("credential", ["x" * 513, "\ud800", "\x00", "ключ"])
async def test_odd_credentials_are_refused_not_crashed_on(vault: Vault, credential: str) -> None:
    assert (await vault.refused(credential)).reason is Reason.CALLER_KEY


async def test_overlong_credentials_never_reach_the_vault(vault: Vault) -> None:
    await vault.refused("x" * 10_000)
    assert vault.asked == []


async def test_missing_key_says_how_to_get_one(vault: Vault) -> None:
    assert "nexus keys create" in (await vault.refused(None)).message


async def test_a_change_reaches_who_is_known(vault: Vault) -> None:
    """At once and without a question to the vault: by its key, and by its tenant."""
    assert (await vault.authenticator.authenticate("good")).zones == frozenset()
    vault.authenticator.change(Key("id1", "mine", "home", manage=True, revision=1))
    vault.authenticator.change(Tenant("default", "default", "restricted", 5, revision=1))
    vault.authenticator.change(Key("other", "other", "elsewhere", revision=9))
    principal = await vault.authenticator.authenticate("good")
    assert principal == Principal("id1", "mine", "default", 5, frozenset({"home", "restricted"}), manage=True)
    vault.authenticator.change(Tenant("default", "default", "", 5, revision=2))
    assert (await vault.authenticator.authenticate("good")).zones == {"home"}
    assert vault.asked == ["good"]


CHANGES = [Key("id1", "mine", "home", revision=2), Tenant("default", "default", "home", 1, revision=2)]


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_that_overtakes_the_verdict_wins(vault: Vault, change: Key | Tenant) -> None:
    vault.gate = asyncio.Event()
    asking = asyncio.create_task(vault.authenticator.authenticate("good"))
    while not vault.asked:  # noqa: ASYNC110 - the vault of this test has no event for it
        await asyncio.sleep(0)
    vault.authenticator.change(change)
    vault.gate.set()
    assert (await asking).zones == {"home"}


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("old", [Key("id1", "mine", "", revision=2), Tenant(zone="", revision=2)])
async def test_old_news_does_not_undo_a_later_verdict(vault: Vault, old: Key | Tenant, before: bool) -> None:
    """As when the watch is behind: the answer of the vault is newer than what was heard last."""
    vault.keys["good"] = Account.of(
        Key("id1", "mine", "home", revision=3), Tenant(zone="restricted", revision=3)
    )
    if before:
        vault.authenticator.change(old)
    await vault.authenticator.authenticate("good")
    vault.authenticator.change(old)
    assert (await vault.authenticator.authenticate("good")).zones == {"home", "restricted"}


async def test_a_tenant_made_anew_under_an_old_name_is_another(vault: Vault) -> None:
    vault.authenticator.change(Tenant("first", "clinic", "", revision=9))
    vault.keys["good"] = Account.of(Key("id1", "mine"), Tenant("second", "clinic", "restricted"))
    assert (await vault.authenticator.authenticate("good")).zones == {"restricted"}
