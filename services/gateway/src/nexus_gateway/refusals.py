"""A plan's refusal as an error for the caller: what happened, why, what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from nexus_mesh.errors import MeshError, Reason
from nexus_routing import Capability, Operation, Refusal, Requirements, State, Verdict, names

__all__ = ["refuse"]

RETRY_AFTER = 2.0
NAMED = 5

# The request parameter behind a capability; the others are asked for by what the messages hold.
PARAMS: dict[int, str] = {
    Capability.TOOLS: "tools",
    Capability.JSON: "response_format",
    Capability.LOGPROBS: "logprobs",
    Capability.CHOICES: "n",
    Capability.TOOL_CHOICE: "tool_choice",
    Capability.TOKEN_INPUT: "input",
}
CONTENT: dict[int, str] = {
    Capability.VISION: "images",
    Capability.AUDIO: "audio",
    Capability.REASONING: "separate reasoning",
}


def refuse(refusal: Refusal, requirements: Requirements) -> MeshError:
    """The error of a plan without candidates."""
    return BY_STAGE[refusal.stage](refusal, requirements)


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
        f"The model '{requirements.model[:128]}' cannot do {names(Operation, (requirements.operation,))}: "
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


def _missing_capability(refusal: Refusal, requirements: Requirements) -> MeshError:
    capability = min(refusal.missing)
    model = requirements.model[:128]
    if capability in PARAMS:
        param = "prompt" if _is_prompt(capability, requirements) else PARAMS[capability]
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


def _is_prompt(capability: int, requirements: Requirements) -> bool:
    return capability == Capability.TOKEN_INPUT and requirements.operation == Operation.COMPLETION


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


BY_STAGE: dict[str, Callable[[Refusal, Requirements], MeshError]] = {
    "model": _unknown_model,
    "operation": _wrong_operation,
    "zone": _outside_zone,
    "capabilities": _missing_capability,
    "state": _not_active,
    "reachable": _down,
    "ejected": _down,
}


def _reasons(verdicts: Iterable[Verdict]) -> str:
    every = [f"{verdict.target.backend} {verdict.reason}" for verdict in verdicts]
    more = f" and {len(every) - NAMED} more" if len(every) > NAMED else ""
    return "; ".join(every[:NAMED]) + more


def _ended(text: str) -> str:
    """A backend's own reason may be a whole sentence already, even a question."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _quoted(suggestions: Iterable[str]) -> str:
    return " or ".join(f"'{name}'" for name in suggestions)
