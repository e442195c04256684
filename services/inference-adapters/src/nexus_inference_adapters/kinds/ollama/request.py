"""An OpenAI request as Ollama's native API wants it. What Ollama would ignore is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nexus_mesh.core import MeshError, Reason
from nexus_operations import estimate, spec_of

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.contract import Work
from nexus_inference_adapters.kinds.ollama.messages import native_messages
from nexus_inference_adapters.openai import (
    OBJECT,
    check,
    check_forwarded,
    set_parameters,
    wants_tools,
    wish,
)
from nexus_inference_adapters.vocabulary import CHAT, COMPLETION, EMBEDDING

__all__ = ["PATHS", "Room", "native_request"]

PATHS: dict[int, str] = {CHAT: "/api/chat", COMPLETION: "/api/generate", EMBEDDING: "/api/embed"}
UNSUPPORTED = frozenset({
    "n", "best_of", "echo", "logit_bias", "tool_choice",
    "functions", "function_call", "modalities", "audio", "web_search_options",
})  # fmt: skip
LOGPROBS = frozenset({"logprobs", "top_logprobs"})
LEAST_SHARE = 8
"""Of the context at least this part is left to an answer: how long its prompt is, is only guessed."""
OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "repeat_penalty": "repeat_penalty",
    "typical_p": "typical_p",
    "repeat_last_n": "repeat_last_n",
}
THINK_LEVELS: dict[str, bool | str] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "max",
    "max": "max",
}


@dataclass(frozen=True, slots=True)
class Room:
    """What is known of where a request goes. `context_tokens`: of the loaded model, 0 = not known."""

    config: BackendConfig
    context_tokens: int = 0
    logprobs: bool = False
    """Whether this version gives them."""
    thinks: bool = True
    """Whether the model can; where that is not known, it is asked."""


def native_request(work: Work, room: Room, *, stream: bool) -> dict[str, Any]:
    """The body for PATHS[work.operation]. Raises UNSUPPORTED_PARAMETER, INVALID_REQUEST.

    `shift` is never sent: it is how the engine was started for a model, and another value loads the model anew.
    """
    if work.operation not in PATHS:
        raise MeshError(
            Reason.CAPABILITY_MISSING, f"Ollama has no way to do {spec_of(work.operation).title}."
        )
    body = set_parameters(check_forwarded("ollama", work.body, work.granted))
    check(body, UNSUPPORTED if room.logprobs else UNSUPPORTED | LOGPROBS, "Ollama")
    # Without truncate: false an over-long prompt loses its beginning in silence.
    native: dict[str, Any] = {"model": work.model, "truncate": False}
    keep_alive = body.get("keep_alive", work.keep_alive)
    if keep_alive is not None:
        native["keep_alive"] = keep_alive
    if options := _options(work, body, room):
        native["options"] = options
    if work.operation == EMBEDDING:
        return native | _embedding(body)
    native["stream"] = stream
    if body.get("logprobs"):
        native |= {"logprobs": True, "top_logprobs": _top(work.operation, body)}
    if (think := _think(body, room)) is not None:
        native["think"] = think
    return native | (_chat(body) if work.operation == CHAT else _text(body))


def _chat(body: dict[str, Any]) -> dict[str, Any]:
    native: dict[str, Any] = {"messages": native_messages(body.get("messages"))}
    if wants_tools(body):
        if any(not isinstance(tool, dict) or tool.get("type") != "function" for tool in body["tools"]):
            raise _unsupported("tools", "Ollama calls tools of type function only.")
        native["tools"] = body["tools"]
    return native | _format(body)


def _text(body: dict[str, Any]) -> dict[str, Any]:
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str):
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise _unsupported("prompt", "Ollama completes one prompt of text at a time.")
    if not prompt:
        raise MeshError(Reason.INVALID_REQUEST, "The prompt is empty.", metadata={"param": "prompt"})
    if suffix := body.get("suffix"):
        # Only the model's own template knows how to ask for the middle.
        return {"prompt": prompt, "suffix": suffix} | _format(body)
    return {"prompt": prompt, "raw": True} | _format(body)


def _embedding(body: dict[str, Any]) -> dict[str, Any]:
    given = body.get("input")
    inputs = given if isinstance(given, list) else [given]
    if not inputs or not all(isinstance(text, str) for text in inputs):
        raise _unsupported("input", "Ollama embeds text, not token ids.")
    native: dict[str, Any] = {"input": inputs}
    if "dimensions" in body:
        native["dimensions"] = body["dimensions"]
    return native


def _options(work: Work, body: dict[str, Any], room: Room) -> dict[str, Any]:
    options = dict(body["options"]) if isinstance(body.get("options"), dict) else {}
    options |= {native: body[name] for name, native in OPTIONS.items() if name in body}
    if spec_of(work.operation).generates:
        limit = spec_of(work.operation).most(body)
        limit = options.get("num_predict") if limit is None else limit
        if (bound := _bounded(work, limit, room)) is not None:
            options["num_predict"] = bound
    if "stop" in body:
        options["stop"] = [body["stop"]] if isinstance(body["stop"], str) else body["stop"]
    if room.config.context_tokens is not None:
        options["num_ctx"] = (
            room.config.context_tokens
        )  # the same for every request: a change reloads the model
    return options


def _bounded(work: Work, limit: Any, room: Room) -> Any:
    """The limit on an answer, so that it ends where the context does: beyond it the engine would drop the beginning.

    An answer that fits by any guess is left alone.
    """
    if not room.context_tokens or (limit is not None and not isinstance(limit, int)):
        return limit
    left = max(room.context_tokens - estimate(work.operation, work.body), room.context_tokens // LEAST_SHARE)
    return left if limit is None or limit < 0 or limit > left else limit


def _top(operation: int, body: dict[str, Any]) -> int:
    """How many alternatives are told for each token: completions say it by `logprobs` itself."""
    said = body.get("top_logprobs") if operation == CHAT else body["logprobs"]
    return said if type(said) is int else 0


def _think(body: dict[str, Any], room: Room) -> bool | str | None:
    """A model without thinking thinks as little as anybody could ask; only Ollama's own word is an order to think."""
    said = wish(body)
    if not room.thinks and "think" not in body:
        return None
    return THINK_LEVELS.get(said, said) if isinstance(said, str) else said


def _format(body: dict[str, Any]) -> dict[str, Any]:
    wanted = body.get("response_format")
    if wanted is None and body.get("format"):
        return {"format": OBJECT if body["format"] == "json" else body["format"]}
    if not isinstance(wanted, dict) or wanted.get("type") == "text":
        return {}
    if wanted.get("type") == "json_object":
        return {"format": OBJECT}  # the word `json` is passed over by some versions, a schema is not
    schema = (wanted.get("json_schema") or {}).get("schema")
    if wanted.get("type") != "json_schema" or not isinstance(schema, dict):
        raise _unsupported("response_format", "Ollama takes json_object, or json_schema with a schema.")
    return {"format": schema}


def _unsupported(param: str, message: str) -> MeshError:
    return MeshError(Reason.UNSUPPORTED_PARAMETER, message, metadata={"param": param})
