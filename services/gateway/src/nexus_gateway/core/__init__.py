"""What a request is on its way through: what was asked, its limits, its errors in words."""

from nexus_gateway.core.context_length import reword
from nexus_gateway.core.files import Files, OnTheirWay, Step
from nexus_gateway.core.limits import limits_by_model
from nexus_gateway.core.packed import LARGE
from nexus_gateway.core.priority import Priority
from nexus_gateway.core.refusals import HOSTS, refuse
from nexus_gateway.core.request import CANDIDATES, InferenceRequest, RequestContext

__all__ = [
    "CANDIDATES",
    "HOSTS",
    "LARGE",
    "Files",
    "InferenceRequest",
    "OnTheirWay",
    "Priority",
    "RequestContext",
    "Step",
    "limits_by_model",
    "refuse",
    "reword",
]
