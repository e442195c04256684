"""Who may call what: one table, default deny. A test walks every method of every service as every role."""

from __future__ import annotations

from nexus_mesh.identity import ROLES

__all__ = ["AT", "ENDLESS", "POLICY", "PUBLIC", "may_call", "policy_at"]

ANYONE = frozenset(ROLES)
MEMBERS = ANYONE - {"client"}
SERVICES = MEMBERS - {"operator", "etcd"}
OPERATOR = frozenset({"operator"})
GATEWAY = frozenset({"gateway"})
CONTROL_READERS = frozenset({"gateway", "operator"})
TABLE_READERS = frozenset({"router", "gateway", "operator"})

POLICY: dict[str, frozenset[str]] = {
    "/nexus.inference.v1.InferenceService/Complete": CONTROL_READERS,
    "/nexus.inference.v1.InferenceService/Stream": CONTROL_READERS,
    "/nexus.inference.v1.InferenceService/CountTokens": CONTROL_READERS,
    "/nexus.inference.v1.InferenceService/Upload": CONTROL_READERS,
    "/nexus.inference.v1.RealtimeService/Connect": CONTROL_READERS,
    "/nexus.mesh.v1.TunnelService/Open": CONTROL_READERS,
    "/nexus.catalog.v1.CatalogService/ListModels": TABLE_READERS,
    "/nexus.lifecycle.v1.LifecycleService/Load": CONTROL_READERS,
    "/nexus.lifecycle.v1.LifecycleService/Unload": CONTROL_READERS,
    "/nexus.lifecycle.v1.LifecycleService/Delete": CONTROL_READERS,
    "/nexus.lifecycle.v1.LifecycleService/Pull": CONTROL_READERS,
    "/nexus.lifecycle.v1.LifecycleService/GetMemory": TABLE_READERS,
    "/nexus.registry.v1.RegistryService/Register": SERVICES,
    "/nexus.registry.v1.RegistryService/KeepAlive": SERVICES,
    "/nexus.registry.v1.RegistryService/Watch": TABLE_READERS,
    "/nexus.registry.v1.RegistryService/List": TABLE_READERS | {"store"},
    "/nexus.registry.v1.RegistryService/Deregister": SERVICES,
    "/nexus.router.v1.RouterService/WatchSnapshot": CONTROL_READERS,
    "/nexus.router.v1.RouterService/Explain": CONTROL_READERS,
    "/nexus.router.v1.PolicyService/GetPolicy": OPERATOR,
    "/nexus.router.v1.PolicyService/SetPolicy": OPERATOR,
    "/nexus.router.v1.PolicyService/ListRevisions": OPERATOR,
    "/nexus.router.v1.PolicyService/RollbackPolicy": OPERATOR,
    "/nexus.router.v1.PolicyService/ResetPolicy": OPERATOR,
    "/nexus.store.v1.StoreService/Put": GATEWAY,
    "/nexus.store.v1.StoreService/Get": GATEWAY,
    "/nexus.store.v1.StoreService/Describe": GATEWAY,
    "/nexus.store.v1.StoreService/List": GATEWAY,
    "/nexus.store.v1.StoreService/Delete": GATEWAY,
    "/nexus.store.v1.StoreService/Erase": OPERATOR,
    "/nexus.store.v1.StoreService/GetUsage": CONTROL_READERS,
    "/nexus.store.v1.StoreService/GetLinkKey": GATEWAY,
    "/nexus.store.v1.WorkService/SubmitWork": GATEWAY,
    "/nexus.store.v1.WorkService/GetWork": GATEWAY,
    "/nexus.store.v1.WorkService/ListWork": GATEWAY,
    "/nexus.store.v1.WorkService/CancelWork": GATEWAY,
    "/nexus.store.v1.WorkService/DeleteWork": GATEWAY,
    "/nexus.store.v1.WorkService/WatchWork": GATEWAY,
    "/nexus.vault.v1.IdentityService/Renew": ANYONE,
    "/nexus.vault.v1.IdentityService/WatchTrust": ANYONE,
    "/nexus.vault.v1.IdentityService/CreateJoinToken": OPERATOR,
    "/nexus.vault.v1.IdentityService/ListJoinTokens": OPERATOR,
    "/nexus.vault.v1.IdentityService/DenyIdentity": OPERATOR,
    "/nexus.vault.v1.IdentityService/AllowIdentity": OPERATOR,
    "/nexus.vault.v1.IdentityService/ListIdentities": OPERATOR,
    "/nexus.vault.v1.KeyService/CreateKey": OPERATOR,
    "/nexus.vault.v1.KeyService/ListKeys": OPERATOR,
    "/nexus.vault.v1.KeyService/UpdateKey": OPERATOR,
    "/nexus.vault.v1.KeyService/RevokeKey": OPERATOR,
    "/nexus.vault.v1.KeyService/Authenticate": GATEWAY,
    "/nexus.vault.v1.KeyService/WatchKeys": GATEWAY,
    "/nexus.vault.v1.TenantService/CreateTenant": OPERATOR,
    "/nexus.vault.v1.TenantService/ListTenants": OPERATOR,
    "/nexus.vault.v1.TenantService/UpdateTenant": OPERATOR,
    "/nexus.vault.v1.TenantService/DeleteTenant": OPERATOR,
    "/nexus.vault.v1.TenantService/WatchTenants": GATEWAY,
    "/grpc.health.v1.Health/Check": MEMBERS,
    "/grpc.health.v1.Health/List": OPERATOR,
    "/grpc.health.v1.Health/Watch": MEMBERS,
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": OPERATOR,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": OPERATOR,
}

# What more a role may call where a certain other one serves it. Adapters serve the gateway's InferenceService too: a
# client that could ask them would be past its tenant's zone and limits. Of the table above a client has only what keeps
# its own identity alive and tells it which roots to trust, as every member has it. The store has gateways
# run the work that it keeps for tenants, and asks no adapter either.
AT: dict[str, dict[str, frozenset[str]]] = {
    "gateway": {
        "/nexus.inference.v1.InferenceService/Complete": frozenset({"client", "store"}),
        "/nexus.inference.v1.InferenceService/Stream": frozenset({"client", "store"}),
        "/nexus.inference.v1.InferenceService/CountTokens": frozenset({"client"}),
        "/nexus.inference.v1.InferenceService/Upload": frozenset({"client", "store"}),
    }
}

# Reachable without a certificate, on a port that serves nothing else.
PUBLIC: frozenset[str] = frozenset({"/nexus.vault.v1.JoinService/Join"})

# Streams that end only when somebody ends them; a draining server does so at once instead of waiting.
ENDLESS: frozenset[str] = frozenset(
    {
        "/nexus.inference.v1.RealtimeService/Connect",
        "/nexus.registry.v1.RegistryService/KeepAlive",
        "/nexus.registry.v1.RegistryService/Watch",
        "/nexus.router.v1.RouterService/WatchSnapshot",
        "/nexus.vault.v1.IdentityService/WatchTrust",
        "/nexus.vault.v1.KeyService/WatchKeys",
        "/nexus.vault.v1.TenantService/WatchTenants",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    }
)


def policy_at(server: str) -> dict[str, frozenset[str]]:
    """Who may call what of a server that has the role `server`; a method that is not there nobody."""
    more = AT.get(server, {})
    return {method: roles | more.get(method, frozenset()) for method, roles in POLICY.items()}


def may_call(role: str, method: str, server: str) -> bool:
    """Whether a role may call a method, given as /package.Service/Method, of a server that has the role `server`."""
    return role in policy_at(server).get(method, ())
