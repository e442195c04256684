"""How a process gets its identity and keeps it fresh: stored, else issued; renewed at half-life, until the end."""

from __future__ import annotations

import asyncio
import datetime
import random
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import grpc
from nexus.vault.v1 import identity_pb2

from nexus_mesh.core import Backoff, MeshError, private_folder, telemetry, write_private
from nexus_mesh.identity import Identity, JoinToken, Material, pinned_root, tls
from nexus_mesh.rpc import Method, Peer, channel, from_rpc_error

__all__ = ["Issuer", "enroll", "join", "joining_key", "keep_fresh", "renew_with"]

Issuer = Callable[[bytes], Awaitable[identity_pb2.IssuedCertificate]]

JOIN = Method("nexus.vault.v1.JoinService", "Join", identity_pb2.JoinRequest, identity_pb2.JoinResponse)
RENEW = Method(
    "nexus.vault.v1.IdentityService", "Renew", identity_pb2.RenewRequest, identity_pb2.RenewResponse
)
CALL_TIMEOUT = 5.0
JITTER = 0.1
JOINING = "joining.pem"

log = telemetry.logger("enrollment")


async def enroll(folder: Path, issue: Issuer) -> Identity:
    """A new key, certified by `issue` and stored in `folder`."""
    with joining_key(folder / JOINING) as key:
        return Identity(await _issue(folder, issue, key))


@contextmanager
def joining_key(path: Path) -> Generator[bytes, None, None]:
    """A key to join with, kept in a file until the block ends well.

    When the answer to a join is lost, only who asks again with the same key gets it: a token presented with another one
    has been in two hands, and withdraws the identity. Raises OSError.
    """
    private_folder(path.parent)
    if not tls.is_key(path):
        write_private(path, tls.new_key())
    yield path.read_bytes()
    path.unlink(missing_ok=True)


async def join(token: JoinToken, request: bytes) -> identity_pb2.JoinResponse:
    """Redeems a join token at the address it names, trusting only the root it pins. Raises MeshError."""
    root = await pinned_root(token.address, token.root_sha256, CALL_TIMEOUT)
    options = (("grpc.ssl_target_name_override", token.server_name), ("grpc.enable_retries", 0))
    async with channel(token.address, grpc.ssl_channel_credentials(root), options) as opened:
        call = opened.unary_unary(JOIN.path, JOIN.request.SerializeToString, JOIN.response.FromString)
        try:
            return await call(
                identity_pb2.JoinRequest(secret=token.secret, certificate_request=request),
                timeout=CALL_TIMEOUT,
            )
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None


def renew_with(vault: Peer) -> Issuer:
    """An issuer that asks the vault to renew the identity the peer is called with."""

    async def issue(request: bytes) -> identity_pb2.IssuedCertificate:
        response = await vault.unary(
            RENEW, identity_pb2.RenewRequest(certificate_request=request), timeout=CALL_TIMEOUT
        )
        return response.certificate

    return issue


async def keep_fresh(identity: Identity, folder: Path, issue: Issuer) -> None:
    """Renews at half-life, with jitter, or at once if it lacks its name; tries until it succeeds. Never ends."""
    while True:
        await asyncio.sleep(_until_renewal(identity))
        backoff = Backoff(0.2, 30.0)
        while True:
            try:
                identity.replace(await _issue(folder, issue, tls.new_key()))
                log.info("certificate renewed", expires=identity.expires_at.isoformat())
                break
            except MeshError as error:
                left = (identity.expires_at - datetime.datetime.now(datetime.UTC)).total_seconds()
                log.warning("certificate not renewed", seconds_left=round(left), reason=error.reason.value)
                await backoff.wait()


async def _issue(folder: Path, issue: Issuer, key: bytes) -> Material:
    issued = await issue(tls.certificate_request(key))
    material = Material(key, issued.chain_pem, issued.bundle_pem)
    await asyncio.to_thread(tls.store, folder, material)
    return material


def _until_renewal(identity: Identity) -> float:
    if not identity.carries_its_name:
        return 0.0
    now = datetime.datetime.now(datetime.UTC)
    life = (identity.expires_at - max(identity.starts_at, now - datetime.timedelta(days=400))).total_seconds()
    half = min(life, (identity.expires_at - now).total_seconds()) / 2
    return max(0.0, half * random.uniform(1 - JITTER, 1 + JITTER))
