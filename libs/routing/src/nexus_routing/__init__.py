"""Pure routing decisions: requirements and a snapshot in, an ordered plan with reasons out."""

from nexus_routing.planning import Plan, explain, plan, similar, usable
from nexus_routing.policy import CHARGED, FREE, TIERS, ZONE, Policy, Price, Rule, Scope, Tariff
from nexus_routing.snapshot import read_policy, read_snapshot, read_target, write_policy
from nexus_routing.stages import STAGES, Ask, Candidate, Case, On, Stage
from nexus_routing.table import Table
from nexus_routing.types import (
    Conditions,
    Endpoint,
    Explanation,
    Load,
    Model,
    Offer,
    Refusal,
    Requirements,
    Target,
    Verdict,
)
from nexus_routing.vocabulary import Capability, Operation, State, names

__all__ = [
    "CHARGED",
    "FREE",
    "STAGES",
    "TIERS",
    "ZONE",
    "Ask",
    "Candidate",
    "Capability",
    "Case",
    "Conditions",
    "Endpoint",
    "Explanation",
    "Load",
    "Model",
    "Offer",
    "On",
    "Operation",
    "Plan",
    "Policy",
    "Price",
    "Refusal",
    "Requirements",
    "Rule",
    "Scope",
    "Stage",
    "State",
    "Table",
    "Target",
    "Tariff",
    "Verdict",
    "explain",
    "names",
    "plan",
    "read_policy",
    "read_snapshot",
    "read_target",
    "similar",
    "usable",
    "write_policy",
]
