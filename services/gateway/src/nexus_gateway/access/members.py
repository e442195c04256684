"""Who a member of the mesh is to us: a client of a tenant, one that acts for a tenant, or nobody's but its own."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from nexus.vault.v1 import tenants_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.identity import ROLE_TABLE, Caller
from nexus_mesh.rpc import Method, Peer

from nexus_gateway.access.accounts import Principal, Tenant

__all__ = ["Members"]

WATCH = Method(
    "nexus.vault.v1.TenantService",
    "WatchTenants",
    tenants_pb2.WatchTenantsRequest,
    tenants_pb2.WatchTenantsResponse,
)
RETRY_AFTER = 2.0


class Members:
    """All tenants, as the vault last told; while it is away, what is known stays known."""

    def __init__(self) -> None:
        self._by_id: dict[str, Tenant] | None = None
        self._by_name: dict[str, Tenant] = {}

    async def follow(self, vault: Peer) -> None:
        """Keeps the tenants as the vault has them, for ever."""
        async for told in vault.follow(WATCH, tenants_pb2.WatchTenantsRequest):
            self.replace(
                Tenant(each.id, each.name, each.zone, each.weight, each.revision) for each in told.tenants
            )

    def replace(self, tenants: Iterable[Tenant]) -> None:
        """These are all there are."""
        self._by_id = {tenant.id: tenant for tenant in tenants}
        self._by_name = {tenant.name: tenant for tenant in self._by_id.values()}

    def principal(self, caller: Caller, on_behalf_of: str = "") -> Principal:
        """Who asks: a client for the tenant of its certificate, who acts for a tenant for that one, with its zone and
        weight and no right of the member's own; any other member for itself, by a name no tenant can have.

        Raises MeshError CALLER_SCOPE (the client's tenant is gone), MESH_POLICY (may not act for others),
        OBJECT_NOT_FOUND (no such tenant) or AUTH_UNAVAILABLE (the vault was not heard yet).
        """
        spiffe = caller.spiffe
        if on_behalf_of:
            if not ROLE_TABLE[spiffe.role].acts_for:
                raise MeshError(
                    Reason.MESH_POLICY,
                    f"Role {spiffe.role} may not ask on behalf of a tenant: leave on_behalf_of out.",
                    metadata={"param": "on_behalf_of"},
                )
            return self._acting(caller, on_behalf_of)
        if spiffe.role == "client":
            return self._client(caller)
        name = spiffe.instance_id
        return Principal(name, str(spiffe), tenant=name, manage=spiffe.role == "operator")

    def _client(self, caller: Caller) -> Principal:
        tenant = self._known().get(caller.claims.tenant_id)
        if tenant is None:
            raise MeshError(
                Reason.CALLER_SCOPE,
                "The tenant that this client's certificate names does not exist, or not any more. Have an operator "
                "make a new token, `nexus token create --role client --tenant NAME`, and join with it.",
            )
        return self._of(caller, tenant, partial(self._client, caller))

    def _acting(self, caller: Caller, name: str) -> Principal:
        self._known()
        tenant = self._by_name.get(name)
        if tenant is None:
            raise MeshError(
                Reason.OBJECT_NOT_FOUND,
                "No tenant has the name in on_behalf_of. `nexus tenants list` shows all.",
                metadata={"param": "on_behalf_of"},
            )
        return self._of(caller, tenant, partial(self._acting_still, caller, tenant))

    def _acting_still(self, caller: Caller, before: Tenant) -> Principal:
        """Another tenant that was given the name meanwhile is not meant."""
        if before.id not in self._known():
            raise MeshError(
                Reason.OBJECT_NOT_FOUND, "The tenant that the request is for was deleted meanwhile."
            )
        return self._acting(caller, before.name)

    def _of(self, caller: Caller, tenant: Tenant, again: partial[Principal]) -> Principal:
        zones = frozenset({tenant.zone} if tenant.zone else ())
        who = caller.spiffe
        return Principal(who.instance_id, str(who), tenant.name, tenant.weight, zones, again=again)

    def _known(self) -> dict[str, Tenant]:
        if self._by_id is None:
            raise MeshError(
                Reason.AUTH_UNAVAILABLE,
                "This gateway has not heard from its vault yet, so it knows no tenants. Try again shortly.",
                retry_after=RETRY_AFTER,
            )
        return self._by_id
