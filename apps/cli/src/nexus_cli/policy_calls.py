"""The router's PolicyService, as commands call it."""

from __future__ import annotations

from nexus.router.v1 import policy_pb2 as pb
from nexus_mesh.rpc import Method, Peer

__all__ = ["change", "get", "revisions", "would_be"]

SERVICE = "nexus.router.v1.PolicyService"
GET = Method(SERVICE, "GetPolicy", pb.GetPolicyRequest, pb.GetPolicyResponse)
SET = Method(SERVICE, "SetPolicy", pb.SetPolicyRequest, pb.SetPolicyResponse)
LIST = Method(SERVICE, "ListRevisions", pb.ListRevisionsRequest, pb.ListRevisionsResponse)
ROLLBACK = Method(SERVICE, "RollbackPolicy", pb.RollbackPolicyRequest, pb.RollbackPolicyResponse)
RESET = Method(SERVICE, "ResetPolicy", pb.ResetPolicyRequest, pb.ResetPolicyResponse)
TIMEOUT = 10.0

Change = pb.SetPolicyRequest | pb.RollbackPolicyRequest | pb.ResetPolicyRequest


async def get(router: Peer, revision: int | None = None) -> pb.GetPolicyResponse:
    """A revision, or the policy in force."""
    return await router.unary(GET, pb.GetPolicyRequest(revision=revision), timeout=TIMEOUT)


async def would_be(router: Peer, text: str) -> pb.Policy:
    """What setting this JSON would put in force, checked by the router."""
    request = pb.SetPolicyRequest(json=text, validate_only=True)
    return (await router.unary(SET, request, timeout=TIMEOUT)).policy


async def change(router: Peer, request: Change) -> pb.Policy:
    """The policy in force after a change."""
    if isinstance(request, pb.SetPolicyRequest):
        return (await router.unary(SET, request, timeout=TIMEOUT)).policy
    if isinstance(request, pb.RollbackPolicyRequest):
        return (await router.unary(ROLLBACK, request, timeout=TIMEOUT)).policy
    return (await router.unary(RESET, request, timeout=TIMEOUT)).policy


async def revisions(router: Peer) -> list[pb.Revision]:
    """All that are kept, newest first."""
    found: list[pb.Revision] = []
    token = ""
    while True:
        page = await router.unary(LIST, pb.ListRevisionsRequest(page_token=token), timeout=TIMEOUT)
        found += page.revisions
        token = page.next_page_token
        if not token:
            return found
