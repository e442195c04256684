"""Whose key it is, and what its owner may do."""

from nexus_gateway.access.accounts import ANONYMOUS, NOBODY, Principal, Share
from nexus_gateway.access.members import Members
from nexus_gateway.access.permissions import demand_management
from nexus_gateway.access.principals import Authenticator
from nexus_gateway.access.vault_keys import VaultKeys

__all__ = [
    "ANONYMOUS",
    "NOBODY",
    "Authenticator",
    "Members",
    "Principal",
    "Share",
    "VaultKeys",
    "demand_management",
]
