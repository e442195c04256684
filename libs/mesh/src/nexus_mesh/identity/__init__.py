"""Who is who: names, keys, certificates, tokens, and who is kept out."""

from nexus_mesh.identity import tls
from nexus_mesh.identity.caller import CALLER, Caller, caller, from_certificate
from nexus_mesh.identity.claims import UNLIMITED, Claims
from nexus_mesh.identity.denials import Denials
from nexus_mesh.identity.join_token import SECRET_BYTES, JoinToken
from nexus_mesh.identity.roles import ROLE_TABLE, ROLES, Role
from nexus_mesh.identity.root_pin import pinned_root
from nexus_mesh.identity.spiffe import LABEL, SpiffeId, role_server_name
from nexus_mesh.identity.tls import Identity, Material

__all__ = [
    "CALLER",
    "LABEL",
    "ROLES",
    "ROLE_TABLE",
    "SECRET_BYTES",
    "UNLIMITED",
    "Caller",
    "Claims",
    "Denials",
    "Identity",
    "JoinToken",
    "Material",
    "Role",
    "SpiffeId",
    "caller",
    "from_certificate",
    "pinned_root",
    "role_server_name",
    "tls",
]
