"""What a request is on its way through: what was asked, its limits, its errors in words."""

from nexus_gateway.core.context_length import reword
from nexus_gateway.core.limits import limits_by_model
from nexus_gateway.core.packed import LARGE
from nexus_gateway.core.passage import CANDIDATES, Passage
from nexus_gateway.core.priority import Priority
from nexus_gateway.core.refusals import HOSTS, refuse
from nexus_gateway.core.request import InferenceRequest
from nexus_gateway.core.tenants import NOBODY, Tenant, tenant_of

__all__ = [
    "CANDIDATES",
    "HOSTS",
    "LARGE",
    "NOBODY",
    "InferenceRequest",
    "Passage",
    "Priority",
    "Tenant",
    "limits_by_model",
    "refuse",
    "reword",
    "tenant_of",
]
