"""Pure routing decisions: requirements and a snapshot in, an ordered plan with reasons out."""

from nexus_routing.explaining import explain
from nexus_routing.planning import plan
from nexus_routing.policy import TIERS, Policy, Rule, Scope
from nexus_routing.snapshot import read_policy, read_snapshot, read_target
from nexus_routing.stages import STAGES
from nexus_routing.table import Table
from nexus_routing.types import (
    Candidate,
    Conditions,
    Endpoint,
    Explanation,
    Load,
    Model,
    Plan,
    Refusal,
    Requirements,
    Target,
    Verdict,
)
from nexus_routing.vocabulary import Capability, Operation, State, names

__all__ = [
    "STAGES",
    "TIERS",
    "Candidate",
    "Capability",
    "Conditions",
    "Endpoint",
    "Explanation",
    "Load",
    "Model",
    "Operation",
    "Plan",
    "Policy",
    "Refusal",
    "Requirements",
    "Rule",
    "Scope",
    "State",
    "Table",
    "Target",
    "Verdict",
    "explain",
    "names",
    "plan",
    "read_policy",
    "read_snapshot",
    "read_target",
]
