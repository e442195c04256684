"""An OpenAI request as Ollama's native API wants it. What Ollama would ignore is refused."""

from __future__ import annotations

from typing import Any

from nexus_mesh.errors import MeshError, Reason

from nexus_inference_adapters.adapter import Work
from nexus_inference_adapters.config import BackendConfig
from nexus_inference_adapters.ollama.messages import native_messages
from nexus_inference_adapters.parameters import check, max_tokens, set_parameters, wants_tools
from nexus_inference_adapters.vocabulary import CHAT, COMPLETION, EMBEDDING

__all__ = ["PATHS", "native_request"]

PATHS: dict[int, str] = {CHAT: "/api/chat", COMPLETION: "/api/generate", EMBEDDING: "/api/embed"}
UNSUPPORTED = frozenset({
    "n", "best_of", "echo", "logit_bias", "logprobs", "top_logprobs", "tool_choice", "parallel_tool_calls",
    "functions", "function_call", "modalities", "audio", "web_search_options",
})  # fmt: skip
OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "repeat_penalty": "repeat_penalty",
    "repetition_penalty": "repeat_penalty",
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


def native_request(work: Work, config: BackendConfig, *, stream: bool) -> dict[str, Any]:
    """The body for PATHS[work.operation]. Raises UNSUPPORTED_PARAMETER, INVALID_REQUEST."""
    body = set_parameters(work.body)
    check(body, UNSUPPORTED, "Ollama")
    # Without truncate: false an over-long prompt loses its beginning in silence.
    native: dict[str, Any] = {"model": work.model, "truncate": False}
    keep_alive = body.get("keep_alive", work.keep_alive)
    if keep_alive is not None:
        native["keep_alive"] = keep_alive
    if options := _options(work, body, config):
        native["options"] = options
    if work.operation == EMBEDDING:
        return native | _embedding(body)
    native |= {"stream": stream, "shift": False}
    if (think := _think(body)) is not None:
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


def _options(work: Work, body: dict[str, Any], config: BackendConfig) -> dict[str, Any]:
    options = dict(body["options"]) if isinstance(body.get("options"), dict) else {}
    if "num_ctx" in options:
        raise _unsupported(
            "options.num_ctx", "A request can't set num_ctx, it would reload the model; use context_tokens."
        )
    options |= {native: body[name] for name, native in OPTIONS.items() if name in body}
    if (limit := max_tokens(work.operation, body)) is not None and work.operation != EMBEDDING:
        options["num_predict"] = limit
    if "stop" in body:
        options["stop"] = [body["stop"]] if isinstance(body["stop"], str) else body["stop"]
    if config.context_tokens is not None:
        options["num_ctx"] = config.context_tokens  # the same for every request: a change reloads the model
    return options


def _think(body: dict[str, Any]) -> bool | str | None:
    if "think" in body:
        return body["think"]
    effort = body.get("reasoning_effort")
    return None if effort is None else THINK_LEVELS.get(effort, effort)


def _format(body: dict[str, Any]) -> dict[str, Any]:
    wanted = body.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") == "text":
        return {}
    if wanted.get("type") == "json_object":
        return {"format": "json"}
    schema = (wanted.get("json_schema") or {}).get("schema")
    if wanted.get("type") != "json_schema" or not isinstance(schema, dict):
        raise _unsupported("response_format", "Ollama takes json_object, or json_schema with a schema.")
    return {"format": schema}


def _unsupported(param: str, message: str) -> MeshError:
    return MeshError(Reason.UNSUPPORTED_PARAMETER, message, metadata={"param": param})
