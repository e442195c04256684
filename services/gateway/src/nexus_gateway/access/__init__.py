"""Whose key it is, and what its owner may do."""

from nexus_gateway.access.accounts import ANONYMOUS, Principal
from nexus_gateway.access.members import Members
from nexus_gateway.access.permissions import demand_management, may_manage
from nexus_gateway.access.principals import Authenticator
from nexus_gateway.access.vault_keys import VaultKeys

__all__ = [
    "ANONYMOUS",
    "Authenticator",
    "Members",
    "Principal",
    "VaultKeys",
    "demand_management",
    "may_manage",
]
