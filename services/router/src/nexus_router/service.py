"""RouterService and PolicyService over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
from nexus.router.v1 import policy_pb2
from nexus.router.v1 import router_pb2 as pb
from nexus.router.v1.policy_pb2_grpc import PolicyServiceServicer
from nexus.router.v1.router_pb2_grpc import RouterServiceServicer
from nexus_mesh.identity import caller

from nexus_router.explaining import explain_on
from nexus_router.policy import Policies, convert, fingerprint
from nexus_router.publisher import Publisher

Context = grpc.aio.ServicerContext


class RouterServicer(RouterServiceServicer):
    """Serves the newest snapshot, also while the registry is away."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def WatchSnapshot(
        self, request: pb.WatchSnapshotRequest, context: Context
    ) -> AsyncIterator[pb.WatchSnapshotResponse]:
        async for snapshot in self._publisher.watch():
            yield pb.WatchSnapshotResponse(snapshot=snapshot)

    async def Explain(self, request: pb.ExplainRequest, context: Context) -> pb.ExplainResponse:
        return explain_on(self._publisher.newest, request)


class PolicyServicer(PolicyServiceServicer):
    """Works without the registry."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    async def GetPolicy(
        self, request: policy_pb2.GetPolicyRequest, context: Context
    ) -> policy_pb2.GetPolicyResponse:
        revision = await self._policies.get(request.revision if request.HasField("revision") else None)
        problem = await self._policies.problem()
        current = self._policies.current
        return policy_pb2.GetPolicyResponse(
            policy=convert.policy(revision, in_force=revision is current),
            revision_in_force=current.number,
            differs_from_file=fingerprint(revision.policy) != fingerprint(self._policies.base.policy),
            problem=problem,
        )

    async def SetPolicy(
        self, request: policy_pb2.SetPolicyRequest, context: Context
    ) -> policy_pb2.SetPolicyResponse:
        if request.validate_only:
            revision = await self._policies.check(request.json, request.etag, request.comment)
            return policy_pb2.SetPolicyResponse(policy=convert.checked(revision))
        revision = await self._policies.set(request.json, request.etag, request.comment, _author())
        return policy_pb2.SetPolicyResponse(policy=convert.policy(revision, in_force=True))

    async def ListRevisions(
        self, request: policy_pb2.ListRevisionsRequest, context: Context
    ) -> policy_pb2.ListRevisionsResponse:
        rows, more = convert.page(await self._policies.history(), request.page_size, request.page_token)
        revisions = [convert.revision(number, entry) for number, entry in rows]
        return policy_pb2.ListRevisionsResponse(revisions=revisions, next_page_token=more)

    async def RollbackPolicy(
        self, request: policy_pb2.RollbackPolicyRequest, context: Context
    ) -> policy_pb2.RollbackPolicyResponse:
        number = request.revision if request.HasField("revision") else None
        revision = await self._policies.rollback(number, request.etag, request.comment, _author())
        return policy_pb2.RollbackPolicyResponse(policy=convert.policy(revision, in_force=True))

    async def ResetPolicy(
        self, request: policy_pb2.ResetPolicyRequest, context: Context
    ) -> policy_pb2.ResetPolicyResponse:
        revision = await self._policies.reset(request.etag, request.comment, _author())
        return policy_pb2.ResetPolicyResponse(policy=convert.policy(revision, in_force=True))


def _author() -> str:
    return str(caller().spiffe)
