"""The router's policy as an operator works with it, over the mesh."""

from __future__ import annotations

import json
from collections.abc import Mapping

from nexus.router.v1 import policy_pb2 as pb
from nexus_mesh.rpc.client import Method, Peer

SERVICE = "nexus.router.v1.PolicyService"
GET = Method(SERVICE, "GetPolicy", pb.GetPolicyRequest, pb.GetPolicyResponse)
SET = Method(SERVICE, "SetPolicy", pb.SetPolicyRequest, pb.SetPolicyResponse)
LIST = Method(SERVICE, "ListRevisions", pb.ListRevisionsRequest, pb.ListRevisionsResponse)
ROLLBACK = Method(SERVICE, "RollbackPolicy", pb.RollbackPolicyRequest, pb.RollbackPolicyResponse)
RESET = Method(SERVICE, "ResetPolicy", pb.ResetPolicyRequest, pb.ResetPolicyResponse)
TIMEOUT = 20.0


def aliases(**names: str) -> str:
    """A policy's text."""
    return json.dumps({"aliases": names})


class PolicyClient:
    """Calls raise MeshError. Without an etag they take the one in force."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def get(self, revision: int | None = None) -> pb.GetPolicyResponse:
        return await self._peer.unary(GET, pb.GetPolicyRequest(revision=revision), timeout=TIMEOUT)

    async def etag(self) -> str:
        return (await self.get()).policy.etag

    async def set(
        self, text: str, etag: str | None = None, *, comment: str = "", validate_only: bool = False
    ) -> pb.Policy:
        etag = await self.etag() if etag is None else etag
        request = pb.SetPolicyRequest(json=text, etag=etag, comment=comment, validate_only=validate_only)
        return (await self._peer.unary(SET, request, timeout=TIMEOUT)).policy

    async def rollback(self, revision: int | None = None) -> pb.Policy:
        request = pb.RollbackPolicyRequest(revision=revision, etag=await self.etag())
        return (await self._peer.unary(ROLLBACK, request, timeout=TIMEOUT)).policy

    async def reset(self) -> pb.Policy:
        request = pb.ResetPolicyRequest(etag=await self.etag())
        return (await self._peer.unary(RESET, request, timeout=TIMEOUT)).policy

    async def page(self, size: int = 0, token: str = "") -> pb.ListRevisionsResponse:
        request = pb.ListRevisionsRequest(page_size=size, page_token=token)
        return await self._peer.unary(LIST, request, timeout=TIMEOUT)

    async def aliases(self) -> Mapping[str, str]:
        """Those in force."""
        return json.loads((await self.get()).policy.json).get("aliases", {})
