"""The operator's policy as data: read, stored in revisions, changed."""

__all__ = [
    "Policies",
    "PolicyStore",
    "Record",
    "Revision",
    "RevisionFiles",
    "convert",
    "fingerprint",
]

from nexus_router.policy import convert
from nexus_router.policy.files import Record, RevisionFiles
from nexus_router.policy.policies import Policies
from nexus_router.policy.store import PolicyStore, Revision
from nexus_router.policy.text import fingerprint
