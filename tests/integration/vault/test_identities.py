"""Who was let in: listed, withdrawn and allowed again, with what they may claim, and alarms about copies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from nexus.vault.v1 import identity_pb2
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.identity import tls
from nexus_mesh.identity.claims import UNLIMITED, Claims, in_certificate
from nexus_mesh.identity.join_token import LONGEST, JoinToken
from nexus_mesh.identity.tls import Identity, Material, certificate_request, new_key
from nexus_mesh.process import enrollment
from nexus_mesh.rpc.client import Peer
from nexus_vault.core import Core
from nexus_vault.renewals import AT_ONCE
from support.vault import (
    ALLOW,
    CREATE_TOKEN,
    DENY,
    LIST_IDENTITIES,
    RENEW,
    WATCH_TRUST,
    ServedVault,
    served_vault,
    spiffe,
)

pytestmark = pytest.mark.security


@pytest_asyncio.fixture
async def vault(tmp_path: Path) -> AsyncIterator[ServedVault]:
    async with served_vault(tmp_path) as served:
        yield served


async def _listed(vault: ServedVault, **page: Any) -> dict[str, identity_pb2.Identity]:
    request = identity_pb2.ListIdentitiesRequest(**page)
    async with vault.peer() as operator:
        answer = await operator.unary(LIST_IDENTITIES, request, timeout=5)
    return {known.spiffe_id: known for known in answer.identities}


async def _deny(vault: ServedVault, name: str, reason: str = "") -> None:
    async with vault.peer() as operator:
        request = identity_pb2.DenyIdentityRequest(spiffe_id=name, reason=reason)
        await operator.unary(DENY, request, timeout=5)


async def _renew(peer: Peer) -> Identity:
    key = new_key()
    request = identity_pb2.RenewRequest(certificate_request=certificate_request(key))
    issued = (await peer.unary(RENEW, request, timeout=5)).certificate
    return Identity(Material(key, issued.chain_pem, issued.bundle_pem))


async def _use(vault: ServedVault, identity: Identity) -> None:
    """As every member does with a new certificate: follows what is trusted."""
    async with (
        vault.peer(identity) as peer,
        peer.stream(WATCH_TRUST, identity_pb2.WatchTrustRequest(), timeout=5) as call,
    ):
        await anext(aiter(call))


async def test_who_joined_is_listed_denied_with_a_reason_and_allowed_again(vault: ServedVault) -> None:
    """A2a: there are commands to see, to withdraw and to bring back."""
    member = await vault.join("adapter")
    name = str(member.spiffe)
    known = (await _listed(vault))[name]
    assert known.serial == format(member.material.leaf().serial_number, "x")
    assert not known.HasField("denial")
    await _deny(vault, name, "laptop was stolen")
    denial = (await _listed(vault))[name].denial
    assert (denial.reason, denial.author) == ("laptop was stolen", str(vault.operator.spiffe))
    with pytest.raises(MeshError) as refusal:
        await vault.token("adapter")
    assert refusal.value.reason is Reason.MESH_IDENTITY
    async with vault.peer() as operator:
        await operator.unary(ALLOW, identity_pb2.AllowIdentityRequest(spiffe_id=name), timeout=5)
    assert not (await _listed(vault))[name].HasField("denial")
    await _use(vault, await vault.join("adapter"))


async def test_revisions_grow_with_denials_and_with_their_end(vault: ServedVault) -> None:
    """A2: who keeps the list can tell which of two is newer, also when a denial was taken back."""
    name = str(spiffe("adapter", node="worker"))
    async with (
        vault.peer() as operator,
        operator.stream(WATCH_TRUST, identity_pb2.WatchTrustRequest(), timeout=5) as call,
    ):
        watch = aiter(call)
        told = [await anext(watch)]
        await operator.unary(DENY, identity_pb2.DenyIdentityRequest(spiffe_id=name), timeout=5)
        told.append(await anext(watch))
        await operator.unary(ALLOW, identity_pb2.AllowIdentityRequest(spiffe_id=name), timeout=5)
        told.append(await anext(watch))
    assert [list(one.denied_spiffe_ids) for one in told] == [[], [name], []]
    assert told[0].revision < told[1].revision < told[2].revision


async def test_somebody_who_never_came_can_be_denied_and_is_listed(vault: ServedVault) -> None:
    """A2a"""
    name = str(spiffe("adapter", node="never"))
    await _deny(vault, name)
    assert (await _listed(vault))[name].HasField("denial")


async def test_nobody_unknown_is_allowed(vault: ServedVault) -> None:
    """A2a: a mistyped name is told, not silently taken."""
    async with vault.peer() as operator:
        request = identity_pb2.AllowIdentityRequest(spiffe_id=str(spiffe("adapter", node="typo")))
        with pytest.raises(MeshError) as refusal:
            await operator.unary(ALLOW, request, timeout=5)
    assert refusal.value.reason is Reason.OBJECT_NOT_FOUND


async def test_the_list_comes_in_pages(vault: ServedVault) -> None:
    """A2a"""
    for node in "abcde":
        await _deny(vault, str(spiffe("adapter", node=node)))
    request, names = identity_pb2.ListIdentitiesRequest(page_size=2), []
    async with vault.peer() as operator:
        while True:
            page = await operator.unary(LIST_IDENTITIES, request, timeout=5)
            names += [known.spiffe_id for known in page.identities]
            assert len(page.identities) <= 2
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
    assert [name for name in names if "/adapter/" in name] == [
        str(spiffe("adapter", node=node)) for node in "abcde"
    ]


async def test_one_certificate_is_not_renewed_into_twenty(vault: ServedVault) -> None:
    """A2a: a burst of renewals is refused, and told when to come again."""
    member = await vault.join("adapter")
    got, refusals = 0, []
    async with vault.peer(member) as peer:
        for _ in range(20):
            try:
                await _renew(peer)
                got += 1
            except MeshError as error:
                refusals.append(error)
    assert got == AT_ONCE
    assert {error.reason for error in refusals} == {Reason.RATE_LIMIT}
    assert all(error.retry_after for error in refusals)


async def test_a_copied_identity_alarms_and_nobody_is_turned_out(vault: ServedVault) -> None:
    """A2a: an older certificate renews beside a newer one in use: one of the two is a copy."""
    first = await vault.join("adapter")
    async with vault.peer(first) as peer:
        second = await _renew(peer)
        await _renew(peer)  # the answer was lost on the way: no alarm, for nobody uses the newer one yet
        third = await _renew(peer)
    name = str(first.spiffe)
    assert not (await _listed(vault))[name].HasField("alarm_time")
    await _use(vault, third)
    assert not (await _listed(vault))[name].HasField("alarm_time")
    async with vault.peer(second) as thief:
        await _renew(thief)
    known = (await _listed(vault))[name]
    assert known.HasField("alarm_time")
    assert not known.HasField("denial")
    async with vault.peer() as operator:
        await operator.unary(ALLOW, identity_pb2.AllowIdentityRequest(spiffe_id=name), timeout=5)
    assert not (await _listed(vault))[name].HasField("alarm_time")


async def test_renewing_in_a_row_is_no_alarm(vault: ServedVault) -> None:
    """A2a: the alarm must not ring for what every member does."""
    identity = await vault.join("adapter")
    for _ in range(AT_ONCE):
        await _use(vault, identity)
        async with vault.peer(identity) as peer:
            identity = await _renew(peer)
    assert not (await _listed(vault))[str(identity.spiffe)].HasField("alarm_time")


async def test_a_token_presented_twice_withdraws_who_came_first(vault: ServedVault) -> None:
    """A6: whoever reads the token and is quicker loses what it got when the owner comes."""
    token = await vault.token("adapter")
    key = new_key()
    issued = (await enrollment.join(token, certificate_request(key))).certificate
    thief = Identity(Material(key, issued.chain_pem, issued.bundle_pem))
    with pytest.raises(MeshError) as refusal:
        await enrollment.join(token, certificate_request(new_key()))
    assert refusal.value.reason is Reason.JOIN_TOKEN
    denial = (await _listed(vault))[str(thief.spiffe)].denial
    assert (denial.author, "second time" in denial.reason) == ("vault", True)
    async with vault.peer(thief) as peer:
        with pytest.raises(MeshError) as refusal:
            await _renew(peer)
    assert refusal.value.reason is Reason.MESH_IDENTITY


async def test_a_lost_answer_is_given_again_to_who_holds_the_key(vault: ServedVault) -> None:
    """A6: a member whose join was cut off asks again, and is not taken for a thief."""
    token, key = await vault.token("adapter"), new_key()
    await enrollment.join(token, certificate_request(key))
    await enrollment.join(token, certificate_request(key))
    issued = (await enrollment.join(token, certificate_request(key))).certificate
    member = Identity(Material(key, issued.chain_pem, issued.bundle_pem))
    assert not (await _listed(vault))[str(member.spiffe)].HasField("denial")
    await _use(vault, member)


async def test_a_member_that_died_while_joining_joins_with_the_key_it_had(
    vault: ServedVault, tmp_path: Path
) -> None:
    """A6: the vault had answered, and the answer was never stored."""
    token, folder = await vault.token("adapter"), tmp_path / "member"

    async def lost(request: bytes) -> identity_pb2.IssuedCertificate:
        await enrollment.join(token, request)
        raise MeshError(Reason.TIMEOUT, "lost")

    async def heard(request: bytes) -> identity_pb2.IssuedCertificate:
        return (await enrollment.join(token, request)).certificate

    with pytest.raises(MeshError):
        await enrollment.enroll(folder, lost)
    member = await enrollment.enroll(folder, heard)
    await _use(vault, member)
    assert {file.name for file in folder.iterdir()} == {"identity.pem", "bundle.pem"}


async def test_an_old_token_does_not_withdraw_who_joined_again_since(vault: ServedVault) -> None:
    """A6: what lies in an old shell history is no weapon."""
    old = await vault.token("adapter")
    await enrollment.join(old, certificate_request(new_key()))
    member = await vault.join("adapter")
    with pytest.raises(MeshError):
        await enrollment.join(old, certificate_request(new_key()))
    assert not (await _listed(vault))[str(member.spiffe)].HasField("denial")


LIMITS = identity_pb2.Claims(models=["llama*", "qwen?"], priority_floor=50)


async def test_claims_are_in_the_certificate_and_survive_renewals(vault: ServedVault) -> None:
    """A13: what a worker may claim comes from its token and cannot be talked away."""
    wanted = Claims(("llama*", "qwen?"), 50)
    identity = await vault.join("adapter", claims=LIMITS)
    for _ in range(3):
        assert in_certificate(identity.material.leaf()) == wanted
        async with vault.peer(identity) as peer:
            identity = await _renew(peer)
    assert (await _listed(vault))[str(identity.spiffe)].claims == LIMITS
    assert in_certificate((await vault.join("gateway")).material.leaf()) == UNLIMITED


@pytest.mark.parametrize(
    "claims",
    [
        identity_pb2.Claims(models=[""]),
        identity_pb2.Claims(models=["x" * 129]),
        identity_pb2.Claims(models=["a\nb"]),
        identity_pb2.Claims(models=["m"] * 33),
        identity_pb2.Claims(priority_floor=2_000_000),
    ],
)
async def test_claims_that_make_no_sense_are_refused(vault: ServedVault, claims: identity_pb2.Claims) -> None:
    """A13"""
    with pytest.raises(MeshError) as refusal:
        await vault.token("adapter", claims=claims)
    assert refusal.value.reason is Reason.INVALID_REQUEST


@pytest.mark.parametrize("claims", [Claims(), Claims(("m" * 128,) * 32, 1), Claims(("日本*",), 7)])
def test_claims_of_any_size_are_read_from_a_certificate_as_they_were_written(
    core: Core, claims: Claims
) -> None:
    """A13"""
    issued = core.authority.issue(spiffe("adapter"), certificate_request(tls.new_key()), claims=claims)
    assert in_certificate(x509.load_pem_x509_certificate(issued.chain_pem)) == claims


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:7431",
        "[2001:0db8:85a3:0000:0000:8a2e:0370:7334]:17431",
        "vault-of-the-house.example.internal:7431",
    ],
)
def test_a_join_token_is_short_enough_to_be_copied(address: str) -> None:
    """A13: at most 200 characters, whatever the address."""
    token = JoinToken(address, "nexus.internal", bytes(range(32)), "s" * 32)
    assert len(token.encode()) <= LONGEST
    assert JoinToken.decode(token.encode()) == token


async def test_a_vault_whose_address_is_too_long_says_so(tmp_path: Path) -> None:
    """A13"""
    async with served_vault(tmp_path, join_address=f"{'a' * 60}.{'b' * 60}.internal:7431") as vault:
        request = identity_pb2.CreateJoinTokenRequest(role="adapter", node="box", name="main")
        async with vault.peer() as operator:
            with pytest.raises(MeshError, match="join_address"):
                await operator.unary(CREATE_TOKEN, request, timeout=5)


def test_every_slip_in_a_token_is_noticed() -> None:
    """A13: no changed or missing character leads to another address or another pin."""
    text = JoinToken("10.0.0.1:7431", "nexus.internal", bytes(range(32)), "s" * 32).encode()
    last = len(text) - 1  # its low bits may be padding
    for at in range(4, last):
        changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        for slip in (changed, text[:at]):
            with pytest.raises(ValueError, match="token"):
                JoinToken.decode(slip)
