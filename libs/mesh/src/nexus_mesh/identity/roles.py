"""The roles there are, as one table: what each is called, which program plays it, where it listens, what it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ROLES", "ROLE_TABLE", "Role"]


@dataclass(frozen=True, slots=True)
class Role:
    """`module` plays it, told by the class `settings` of its `config`; "" = no service of ours.

    `ports`: by name, where nobody chose others. `tables`: of nexus.toml, beside the one with its own name. `shared`:
    whether callers want any of that role: then its certificates carry the role's own name. `acts_for`: whether it may
    say for which tenant a request is.
    """

    module: str = ""
    settings: str = ""
    ports: Mapping[str, int] = field(default_factory=dict[str, int])
    tables: tuple[str, ...] = ()
    shared: bool = False
    acts_for: bool = False


ROLE_TABLE: dict[str, Role] = {
    "gateway": Role(
        "nexus_gateway",
        "GatewaySettings",
        {"gateway": 7400, "http": 8080},
        ("timeouts", "models", "queue"),
        shared=True,
    ),
    "registry": Role("nexus_registry", "RegistrySettings", {"registry": 7410}, shared=True),
    "router": Role("nexus_router", "RouterSettings", {"router": 7420}, ("routing",), shared=True),
    "vault": Role("nexus_vault", "VaultSettings", {"vault": 7430, "join": 7431}, shared=True),
    "adapter": Role(
        "nexus_inference_adapters",
        "AdapterSettings",
        {"adapter": 7450},
        ("backends", "devices", "timeouts", "models"),
    ),
    "store": Role("nexus_store", "StoreSettings", {"store": 7435}, shared=True, acts_for=True),
    "operator": Role(acts_for=True),
    "client": Role(),
    "etcd": Role(ports={"etcd": 7470, "etcd-peer": 7471}, shared=True),
}
ROLES = tuple(ROLE_TABLE)
