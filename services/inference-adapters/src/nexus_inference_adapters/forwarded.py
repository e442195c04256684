"""Which parameters of a request an engine is sent, as allow-lists: what shapes the answer, and nothing else.

What would move a model, choose another's memory of it, or run a caller's code is on no list: `lora`, `id_slot`,
`priority`, `cache_salt`, `kv_transfer_params`, `logits_processors`, `request_id`, `chat_template`, whatever comes next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nexus_mesh.errors import MeshError, Reason

__all__ = ["OLLAMA_OPTIONS", "check_forwarded"]

OPENAI = frozenset({
    "model", "messages", "prompt", "input", "stream", "stream_options", "max_completion_tokens", "max_tokens",
    "temperature", "top_p", "n", "best_of", "echo", "suffix", "stop", "seed", "logprobs", "top_logprobs",
    "frequency_penalty", "presence_penalty", "logit_bias", "response_format", "tools", "tool_choice",
    "parallel_tool_calls", "functions", "function_call", "reasoning_effort", "verbosity", "modalities", "audio",
    "prediction", "web_search_options", "moderation", "service_tier", "store", "metadata", "user",
    "safety_identifier", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "encoding_format",
    "dimensions",
})  # fmt: skip
"""What OpenAI's own API defines."""
SAMPLING = frozenset({
    "top_k", "min_p", "typical_p", "top_a", "repetition_penalty", "repeat_penalty", "min_tokens", "ignore_eos",
    "stop_token_ids", "chat_template_kwargs", "enable_thinking", "thinking", "reasoning",
})  # fmt: skip
"""What most engines take beside it."""
LLAMA_CPP = SAMPLING | {
    "n_predict", "top_n_sigma", "tfs_z", "repeat_last_n", "dynatemp_range", "dynatemp_exponent", "xtc_probability",
    "xtc_threshold", "dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n",
    "dry_sequence_breakers", "mirostat", "mirostat_tau", "mirostat_eta", "samplers", "min_keep", "n_probs",
    "grammar", "grammar_lazy", "json_schema", "reasoning_format", "reasoning_budget", "thinking_budget_tokens",
    "parse_tool_calls",
}  # fmt: skip
VLLM = SAMPLING | {
    "use_beam_search", "length_penalty", "bad_words", "allowed_token_ids", "include_stop_str_in_output",
    "skip_special_tokens", "spaces_between_special_tokens", "include_reasoning", "thinking_token_budget",
    "documents", "structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar",
    "repetition_detection",
}  # fmt: skip
MLX = SAMPLING | {"repetition_context_size", "xtc_probability", "xtc_threshold", "num_draft_tokens"}
OLLAMA = frozenset(
    {"options", "think", "chat_template_kwargs", "top_k", "min_p", "repetition_penalty", "repeat_penalty"}
)
ENGINES: dict[str, frozenset[str]] = {"llama.cpp": LLAMA_CPP, "vllm": VLLM, "mlx": MLX, "ollama": OLLAMA}
OTHERS = LLAMA_CPP | VLLM | {"think", "regex", "ebnf", "separate_reasoning"}
"""An engine whose make is not known ignores or refuses what it does not know."""
LEFT_OUT = frozenset({"keep_alive", "cache_prompt", "timings_per_token", "return_progress"})
"""Changes nothing of the answer, and is not the request's to decide: not sent, and no reason to refuse."""
OLLAMA_OPTIONS = frozenset({
    "temperature", "top_p", "top_k", "min_p", "typical_p", "seed", "stop", "num_predict", "repeat_last_n",
    "repeat_penalty", "presence_penalty", "frequency_penalty", "penalize_newline", "mirostat", "mirostat_tau",
    "mirostat_eta", "tfs_z",
})  # fmt: skip
"""Of Ollama's `options` those that shape an answer; the others decide where and how the model lies in memory."""


def check_forwarded(engine: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """What of a body is for the engine. Raises UNSUPPORTED_PARAMETER for the first parameter on no list."""
    known = OPENAI | ENGINES.get(engine, OTHERS)
    for name in sorted(body.keys() - known - LEFT_OUT):
        if body[name] is not None:
            raise _refused(name)
    if not _is_flat(body.get("chat_template_kwargs")):
        raise _refused("chat_template_kwargs")
    if engine == "ollama" and isinstance(body.get("options"), dict):
        for name in sorted(body["options"].keys() - OLLAMA_OPTIONS):
            raise _refused(f"options.{name}")
    return {name: value for name, value in body.items() if name in known}


def _is_flat(given: Any) -> bool:
    """Switches of a template are words and numbers; what is more could be more than a switch."""
    values = given.values() if isinstance(given, dict) else ()
    return given is None or (
        isinstance(given, dict) and not any(isinstance(each, dict | list) for each in values)
    )


def _refused(name: str) -> MeshError:
    return MeshError(
        Reason.UNSUPPORTED_PARAMETER,
        f"{name[:64]!r} is no parameter that a request may send to this engine; leave it out.",
        metadata={"param": name[:64]},
    )
