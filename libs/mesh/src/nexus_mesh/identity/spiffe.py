"""Names of the mesh: spiffe://<trust domain>/zone/<zone>/node/<node>/<role>/<name>."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nexus_mesh.identity.roles import ROLES

__all__ = ["SpiffeId", "role_server_name"]

LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
DOMAIN = re.compile(rf"{LABEL.pattern}(?:\.{LABEL.pattern})*")
LONGEST_NAME = 253
"""Characters of a DNS name, in certificates too."""


@dataclass(frozen=True, slots=True)
class SpiffeId:
    """One identity. Every part but the trust domain is one DNS label, so names cannot run into each other."""

    trust_domain: str
    zone: str
    node: str
    role: str
    name: str

    def __post_init__(self) -> None:
        if not DOMAIN.fullmatch(self.trust_domain):
            raise ValueError(f"trust domain {self.trust_domain[:64]!r} is not a DNS name in lower case")
        for part in ("zone", "node", "name"):
            if not LABEL.fullmatch(getattr(self, part)):
                value = getattr(self, part)[:64]
                raise ValueError(
                    f"{part} {value!r} must be 1 to 63 of a-z, 0-9 and -, not starting or ending with -"
                )
        if self.role not in ROLES:
            raise ValueError(f"role {self.role[:64]!r} is not one of {', '.join(ROLES)}")
        if len(self.server_name) > LONGEST_NAME:
            raise ValueError(
                f"name, node, zone and trust domain make a DNS name of more than {LONGEST_NAME} characters: "
                "choose shorter ones"
            )

    @classmethod
    def parse(cls, uri: str) -> SpiffeId:
        """Reads the URI form. Raises ValueError."""
        parts = uri.removeprefix("spiffe://").split("/")
        if not uri.startswith("spiffe://") or len(parts) != 7 or parts[1] != "zone" or parts[3] != "node":
            raise ValueError("not a SPIFFE id of this mesh")
        return cls(parts[0], parts[2], parts[4], parts[5], parts[6])

    @classmethod
    def of_instance(cls, instance_id: str, zone: str, trust_domain: str) -> SpiffeId:
        """The one identity that may go by an instance id in a zone. Raises ValueError."""
        parts = instance_id.split("/")
        if len(parts) != 3:
            raise ValueError("not an instance id of this mesh: <node>/<role>/<name>")
        return cls(trust_domain, zone, *parts)

    def __str__(self) -> str:
        return f"spiffe://{self.trust_domain}/zone/{self.zone}/node/{self.node}/{self.role}/{self.name}"

    @property
    def instance_id(self) -> str:
        """Unique in the mesh: <node>/<role>/<name>."""
        return f"{self.node}/{self.role}/{self.name}"

    @property
    def server_name(self) -> str:
        """The DNS name only this identity's certificate carries: whoever dials it has the zone verified too."""
        return f"{self.name}.{self.node}.{self.zone}.zone.{self.role}.{self.trust_domain}"


def role_server_name(role: str, trust_domain: str) -> str:
    """The DNS name every certificate of a control role carries, for callers that want any of them."""
    return f"{role}.{trust_domain}"
