"""A plan's refusal as an error for the caller: what happened, why, what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from nexus_mesh.core import MeshError, Reason
from nexus_operations import spec_of
from nexus_routing import Capability, Offer, Refusal, Requirements, State, Verdict, names

from nexus_gateway.core.context_length import too_long

__all__ = ["HOSTS", "refuse"]

RETRY_AFTER = 2.0
ABSENT_RETRY_AFTER = 30.0
NAMED = 5
HOSTS = 32
"""That are named at most: an error travels in headers between services."""

# The usual parameter behind a capability; the others are asked for by what the messages hold.
PARAMS: dict[int, str] = {
    Capability.TOOLS: "tools",
    Capability.JSON: "response_format",
    Capability.LOGPROBS: "logprobs",
    Capability.CHOICES: "n",
    Capability.TOOL_CHOICE: "tool_choice",
    Capability.TOKEN_INPUT: "",  # whatever holds the prompt
}
NOT_SAID: Mapping[int, str] = MappingProxyType({})
CONTENT: dict[int, str] = {
    Capability.VISION: "images",
    Capability.AUDIO: "audio",
    Capability.REASONING: "separate reasoning",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """How a stage's refusal is told. `cause` is the word for programs; `named`: whether hosts may be named in it."""

    tell: Callable[[Refusal, Requirements], MeshError]
    cause: str = ""
    named: bool = True


def refuse(
    refusal: Refusal,
    requirements: Requirements,
    soonest: Callable[[Iterable[Offer]], float] = lambda _: 0.0,
    asked: Mapping[int, str] = NOT_SAID,
    *,
    full: bool = True,
) -> MeshError:
    """The error of a plan without candidates. `soonest`: seconds until the first of some offers may be tried.

    `asked`: which parameter, as it was sent, asks for a capability. `full`: whether backends, hosts, zones and rules
    may be named; only to who may know of what it cannot use.
    """
    if not full:
        nameless = tuple(replace(verdict, reason="") for verdict in refusal.verdicts)
        refusal = replace(refusal, verdicts=nameless, fallbacks=())
    kind = BY_STAGE[refusal.stage]
    error = (
        _missing_capability(refusal, requirements, asked)
        if refusal.missing
        else kind.tell(refusal, requirements)
    )
    if refusal.fallbacks:
        error.message += f" Nor can {_either(refusal.fallbacks)}, which may stand in for it."
    if kind.cause:
        error.metadata |= _context(refusal, requirements, kind, full=full)
    if refusal.stage in ("gone", "ejected", "paused"):
        offers = ((verdict.target.id, verdict.model) for verdict in refusal.verdicts)
        error.retry_after = max(1.0, soonest(offers))
    if error.retry_after is not None:
        error.metadata["eta_seconds"] = f"{error.retry_after:g}"
    return error


def _context(refusal: Refusal, requirements: Requirements, kind: Kind, *, full: bool) -> dict[str, str]:
    """What a program needs to decide what to do now; lists are comma-separated."""
    loading = any(verdict.target.state == State.STARTING for verdict in refusal.verdicts)
    context = {"reason": "loading" if kind.cause == "unhealthy" and loading else kind.cause}
    if kind.named and full:
        hosts = sorted({each.target.host for each in refusal.verdicts})
        context["available_nodes"] = ",".join(hosts[:HOSTS])
    if refusal.tier:
        context["required_tier"] = refusal.tier
    if refusal.missing:
        context["required"] = names(Capability, requirements.needs)
        context["available"] = names(Capability, refusal.available)
    return context


def _unknown_model(refusal: Refusal, requirements: Requirements) -> MeshError:
    near = f" Did you mean {_quoted(refusal.suggestions)}?" if refusal.suggestions else ""
    return MeshError(
        Reason.MODEL_NOT_FOUND,
        f"No backend of this mesh offers the model '{requirements.model[:128]}'.{near} GET /v1/models lists them all.",
        metadata={"param": "model"},
    )


def _wrong_operation(refusal: Refusal, requirements: Requirements) -> MeshError:
    return MeshError(
        Reason.CAPABILITY_MISSING,
        f"The model '{requirements.model[:128]}' cannot do {spec_of(requirements.operation).name}: "
        f"{_reasons(refusal.verdicts)}. Choose another model.",
        metadata={"param": "model"},
    )


def _outside_zone(refusal: Refusal, requirements: Requirements) -> MeshError:
    return MeshError(
        Reason.PRIVACY_ZONE,
        f"The model '{requirements.model[:128]}' is not offered inside the privacy zone this request must stay in: "
        f"{_ended(_reasons(refusal.verdicts))} Nothing was sent anywhere. Choose another model.",
        metadata={"param": "model"},
    )


def _absent(_: Refusal, requirements: Requirements) -> MeshError:
    return MeshError(
        Reason.BACKEND_DOWN,
        f"The model '{requirements.model[:128]}' is set up here, but no backend that is running offers it now. "
        "Start the engine that has it; `nexus status` shows all backends.",
        retry_after=ABSENT_RETRY_AFTER,
    )


def _too_long(refusal: Refusal, requirements: Requirements) -> MeshError:
    longest = max(_context_of(verdict) for verdict in refusal.verdicts)
    answer = int(spec_of(requirements.operation).generates)
    return too_long(requirements.operation, longest, requirements.tokens - answer)


def _context_of(verdict: Verdict) -> int:
    return next(each.context_tokens for each in verdict.target.models if each.id == verdict.model)


def _below_tier(refusal: Refusal, requirements: Requirements) -> MeshError:
    return MeshError(
        Reason.BACKEND_DOWN,
        f"The model '{requirements.model[:128]}' must be served in tier {refusal.tier} or better: "
        f"{_ended(_reasons(refusal.verdicts))} Nothing of a lower tier is taken instead.",
        retry_after=ABSENT_RETRY_AFTER,
    )


def _against_rules(refusal: Refusal, requirements: Requirements) -> MeshError:
    return MeshError(
        Reason.ROUTING_RULE,
        f"The operator's rules let no backend serve this request for '{requirements.model[:128]}': "
        f"{_ended(_reasons(refusal.verdicts))} Choose another model, or ask the operator.",
        metadata={"param": "model"},
    )


def _missing_capability(
    refusal: Refusal, requirements: Requirements, asked: Mapping[int, str] = NOT_SAID
) -> MeshError:
    capability = min(refusal.missing)
    model = requirements.model[:128]
    if capability in PARAMS:
        usual = PARAMS[capability] or spec_of(requirements.operation).content
        param = asked.get(capability, usual)
        return MeshError(
            Reason.UNSUPPORTED_PARAMETER,
            f"No usable backend of '{model}' honours '{param}' as it was sent: {_reasons(refusal.verdicts)}. "
            "Leave it out, or choose another model.",
            metadata={"param": param},
        )
    wanted = CONTENT.get(capability, names(Capability, (capability,)))
    return MeshError(
        Reason.CAPABILITY_MISSING,
        f"The model '{model}' does not take {wanted}: {_reasons(refusal.verdicts)}. Choose another model.",
        metadata={"param": "messages"},
    )


def _not_active(refusal: Refusal, requirements: Requirements) -> MeshError:
    loading = any(verdict.target.state == State.STARTING for verdict in refusal.verdicts)
    if loading:
        return MeshError(
            Reason.MODEL_NOT_READY,
            f"The model '{requirements.model[:128]}' is being made ready: {_ended(_reasons(refusal.verdicts))} "
            "Try again shortly.",
            retry_after=RETRY_AFTER,
        )
    return _down(refusal, requirements)


def _down(refusal: Refusal, requirements: Requirements) -> MeshError:
    return MeshError(
        Reason.BACKEND_DOWN,
        f"No backend of '{requirements.model[:128]}' is usable now: {_ended(_reasons(refusal.verdicts))} "
        "Try again shortly; `nexus status` shows all backends.",
        retry_after=RETRY_AFTER,
    )


def _rate_limited(refusal: Refusal, requirements: Requirements) -> MeshError:
    return MeshError(
        Reason.RATE_LIMIT,
        f"Every backend of '{requirements.model[:128]}' takes no more requests for a moment: "
        f"{_ended(_reasons(refusal.verdicts))}",
    )


BY_STAGE: dict[str, Kind] = {
    "model": Kind(_unknown_model),
    "absent": Kind(_absent, "absent"),
    "operation": Kind(_wrong_operation, "capability"),
    "zone": Kind(_outside_zone, "forbidden_by_zone", named=False),
    "capabilities": Kind(_missing_capability, "capability"),
    "context": Kind(_too_long, "context_length"),
    "tier": Kind(_below_tier, "tier"),
    "rules": Kind(_against_rules, "forbidden_by_rule", named=False),
    "state": Kind(_not_active, "unhealthy"),
    "reachable": Kind(_down, "unhealthy"),
    "gone": Kind(_down, "unhealthy"),
    "ejected": Kind(_down, "unhealthy"),
    "paused": Kind(_rate_limited, "rate_limited"),
}


NAMELESS: dict[str, str] = {
    "zone": "none of its backends is in it",
    "rules": "each of its backends is kept from it",
    "state": "none of its backends is in service",
    "reachable": "none of its backends is in service",
    "ejected": "none of its backends is in service",
    "paused": "each of its backends asked for that",
}
"""What stopped all of them, by stage, for who may not know which they are."""


def _reasons(verdicts: Iterable[Verdict]) -> str:
    told = list(verdicts)
    every = [f"{verdict.target.backend} {verdict.reason}" for verdict in told if verdict.reason]
    if not every:
        return NAMELESS.get(told[0].stage, "none of its backends can") if told else "it has no backend"
    more = f" and {len(every) - NAMED} more" if len(every) > NAMED else ""
    return "; ".join(every[:NAMED]) + more


def _either(models: tuple[str, ...]) -> str:
    return " or ".join(f"'{model}'" for model in models[:NAMED])


def _ended(text: str) -> str:
    """A backend's own reason may be a whole sentence already, even a question."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _quoted(suggestions: Iterable[str]) -> str:
    return " or ".join(f"'{name}'" for name in suggestions)
