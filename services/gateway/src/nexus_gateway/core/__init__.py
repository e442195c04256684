"""What a request is on its way through: what was asked, its limits, its errors in words."""

from nexus_gateway.core.context_length import reword
from nexus_gateway.core.estimating import estimate, room
from nexus_gateway.core.limits import limits_by_model
from nexus_gateway.core.packed import LARGE
from nexus_gateway.core.passage import CANDIDATES, Passage
from nexus_gateway.core.priority import Priority
from nexus_gateway.core.prompt_bytes import LEAST_BYTES
from nexus_gateway.core.refusals import HOSTS, refuse
from nexus_gateway.core.request import InferenceRequest
from nexus_gateway.core.tenants import NOBODY, Tenant, tenant_of

__all__ = [
    "CANDIDATES",
    "HOSTS",
    "LARGE",
    "LEAST_BYTES",
    "NOBODY",
    "InferenceRequest",
    "Passage",
    "Priority",
    "Tenant",
    "estimate",
    "limits_by_model",
    "refuse",
    "reword",
    "room",
    "tenant_of",
]
