"""Which parameters of a request an engine is sent, as allow-lists: what shapes the answer, and nothing else.

The lists are what each engine's own source reads; engines pass over all else in silence. What one does not read is
refused by name, unless its value asks for nothing, or the engine has another name for it.

What would move a model, choose another's memory of it, or run a caller's code is on no list: `lora`, `id_slot`,
`priority`, `cache_salt`, `kv_transfer_params`, `logits_processors`, `request_id`, `chat_template`, whatever comes next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.openai.thinking import SWITCHES, in_template

__all__ = [
    "ENGINES",
    "LEFT_OUT",
    "NEUTRAL",
    "OLLAMA_OPTIONS",
    "OLLAMA_OWN",
    "OPENAI",
    "OTHERS",
    "OTHER_NAMES",
    "PARTS_OF",
    "PLAIN",
    "listed",
]

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
PLAIN = OPENAI - {"reasoning_effort"}
"""Of these no table has more to say, whatever the engine."""
LLAMA_CPP = SWITCHES | {
    "top_k", "min_p", "typical_p", "ignore_eos", "repeat_penalty", "repeat_last_n", "n_predict", "n_keep", "n_indent",
    "t_max_predict_ms", "top_n_sigma", "dynatemp_range", "dynatemp_exponent", "xtc_probability", "xtc_threshold",
    "dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n", "dry_sequence_breakers", "mirostat",
    "mirostat_tau", "mirostat_eta", "adaptive_target", "adaptive_decay", "samplers", "min_keep", "n_probs", "grammar",
    "json_schema", "reasoning_format", "thinking_budget_tokens", "reasoning_budget_tokens", "parse_tool_calls",
}  # fmt: skip
VLLM = SWITCHES | {
    "top_k", "min_p", "repetition_penalty", "use_beam_search", "length_penalty", "stop_token_ids",
    "include_stop_str_in_output", "ignore_eos", "min_tokens", "skip_special_tokens", "spaces_between_special_tokens",
    "allowed_token_ids", "bad_words", "thinking_token_budget", "include_reasoning", "documents", "structured_outputs",
    "guided_json", "guided_regex", "guided_choice", "guided_grammar", "guided_whitespace_pattern",
    "return_tokens_as_token_ids", "repetition_detection",
}  # fmt: skip
MLX = SWITCHES | {
    "top_k", "min_p", "repetition_penalty", "repetition_context_size", "xtc_probability", "xtc_threshold",
    "num_draft_tokens",
}  # fmt: skip
OLLAMA = SWITCHES | {
    "options", "format", "top_k", "min_p", "typical_p", "repeat_penalty", "repeat_last_n",
}  # fmt: skip
ENGINES: dict[str, frozenset[str]] = {"llama.cpp": LLAMA_CPP, "vllm": VLLM, "mlx": MLX, "ollama": OLLAMA}
OTHERS = (LLAMA_CPP | VLLM | MLX) - {"num_draft_tokens"} | {
    "top_a", "typical", "tfs", "tfs_z", "epsilon_cutoff", "eta_cutoff", "nsigma", "skew", "repetition_penalty_range",
    "rep_pen", "rep_pen_range", "rep_pen_slope", "encoder_repetition_penalty", "no_repeat_ngram_size", "penalty_alpha",
    "mirostat_mode", "dynatemp_low", "dynatemp_high", "dynatemp_min", "dynatemp_max", "smoothing_factor",
    "smoothing_curve", "dry_range", "guidance_scale", "num_predict", "max_new_tokens", "thinking_budget",
    "reasoning_budget", "random_seed", "sampler_seed", "embd_normalize", "num_beams", "ban_eos_token", "add_bos_token",
    "penalize_nl", "temperature_last", "dynamic_temperature", "do_sample", "early_stopping", "separate_reasoning",
    "stream_reasoning", "preserve_thinking", "strict", "normalize", "trim_stop", "safe_prompt", "banned_strings",
    "banned_tokens", "stopping_strings", "stop_sequences", "sampler_order", "sampler_priority", "grammar_string",
    "ebnf", "regex", "format", "negative_prompt", "input_type", "task", "route", "custom_token_bans", "usage",
    "transforms",
}  # fmt: skip
"""An engine whose make is not known ignores or refuses what it does not know."""
LEFT_OUT = frozenset({
    "keep_alive", "cache_prompt", "timings_per_token", "return_progress", "session_id", "conversation_id", "chat_id",
})  # fmt: skip
"""Changes nothing of the answer, and is not the request's to decide: not sent, and no reason to refuse."""
OLLAMA_OWN = frozenset({"keep_alive"})
OLLAMA_OPTIONS = frozenset({
    "temperature", "top_p", "top_k", "min_p", "typical_p", "seed", "stop", "num_predict", "repeat_last_n",
    "repeat_penalty", "presence_penalty", "frequency_penalty",
})  # fmt: skip
"""Of Ollama's `options` those that shape an answer; the others decide where and how the model lies in memory."""

REPEAT, REPETITION = {"repetition_penalty": "repeat_penalty"}, {"repeat_penalty": "repetition_penalty"}
OTHER_NAMES: dict[str, dict[str, str]] = {
    "llama.cpp": REPEAT,
    "ollama": REPEAT,
    "vllm": REPETITION,
    "mlx": REPETITION,
}
"""The same parameter by the name an engine has for it."""

NEUTRAL: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(
        ("top_a", "min_p", "min_tokens", "mirostat", "mirostat_mode", "dry_multiplier", "xtc_probability",
         "dynatemp_range", "min_keep", "n_probs", "no_repeat_ngram_size", "epsilon_cutoff", "eta_cutoff",
         "smoothing_factor", "penalty_alpha", "skew", "n_keep", "n_indent", "rep_pen_slope", "nsigma"), (0,)),
    **dict.fromkeys(
        ("typical_p", "typical", "tfs", "tfs_z", "repetition_penalty", "repeat_penalty", "rep_pen", "length_penalty",
         "encoder_repetition_penalty", "guidance_scale", "num_beams", "dynatemp_exponent", "smoothing_curve"), (1,)),
    "top_k": (0, -1),
    "top_n_sigma": (-1, 0),
    "penalize_newline": (True,),
    **dict.fromkeys(
        ("n_predict", "num_predict", "thinking_budget_tokens", "reasoning_budget_tokens", "thinking_token_budget",
         "reasoning_budget", "t_max_predict_ms"), (-1,)),
    **dict.fromkeys(
        ("ignore_eos", "ban_eos_token", "use_beam_search", "include_stop_str_in_output", "early_stopping",
         "penalize_nl", "return_tokens_as_token_ids", "temperature_last", "dynamic_temperature", "safe_prompt",
         "strict"),
        (False,)),
    **dict.fromkeys(
        ("skip_special_tokens", "spaces_between_special_tokens", "include_reasoning", "separate_reasoning",
         "stream_reasoning", "add_bos_token", "do_sample", "parse_tool_calls", "trim_stop"), (True,)),
    **dict.fromkeys(
        ("stop_token_ids", "bad_words", "banned_strings", "banned_tokens", "stopping_strings", "stop_sequences",
         "transforms", "samplers", "sampler_order", "sampler_priority", "guided_choice"), ([],)),
    **dict.fromkeys(("custom_token_bans", "negative_prompt", "grammar", "grammar_string"), ("",)),
    "reasoning_format": ("auto",),
    "usage": ({}, {"include": True}, {"include": False}),
}  # fmt: skip
"""Values that ask for what comes without the parameter: whoever sends all he has, asks for nothing by these."""
PARTS_OF: dict[str, str] = {
    "mirostat_tau": "mirostat",
    "mirostat_eta": "mirostat",
    "dry_base": "dry_multiplier",
    "dry_allowed_length": "dry_multiplier",
    "dry_penalty_last_n": "dry_multiplier",
    "dry_sequence_breakers": "dry_multiplier",
    "dry_range": "dry_multiplier",
    "xtc_threshold": "xtc_probability",
    "dynatemp_exponent": "dynatemp_range",
    "smoothing_curve": "smoothing_factor",
}
"""Says how, where another says whether: without that it says nothing."""


def listed(engine: str, body: Mapping[str, Any], granted: frozenset[str]) -> dict[str, Any]:
    """What of a body is on a list of the engine's, under the engine's names.

    Raises UNSUPPORTED_PARAMETER for the first parameter the engine would pass over.
    """
    own = granted & OLLAMA_OWN if engine == "ollama" else granted - LEFT_OUT
    known = OPENAI | ENGINES.get(engine, OTHERS) | own
    given = _renamed(body, OTHER_NAMES.get(engine, {}))
    for name in sorted(given.keys() - known - LEFT_OUT):
        if not _says_nothing(name, given):
            raise _refused(name)
    if not _is_flat(given.get("chat_template_kwargs")):
        raise _refused("chat_template_kwargs")
    sent = {name: value for name, value in given.items() if name in known and not _is_off(name, given)}
    if engine == "ollama" and isinstance(sent.get("options"), dict):
        sent["options"] = _options(sent["options"], granted)
    return in_template(engine, sent)


def _renamed(body: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    given = dict(body)
    for name, own in names.items():
        value = given.pop(name, None)
        if value is not None and given.get(own) is None:
            given[own] = value
    return given


def _options(given: Mapping[str, Any], granted: frozenset[str]) -> dict[str, Any]:
    known = OLLAMA_OPTIONS | {
        name.removeprefix("options.") for name in granted if name.startswith("options.")
    }
    for name in sorted(given.keys() - known):
        if not _says_nothing(name, given):
            raise _refused(f"options.{name}")
    return {name: value for name, value in given.items() if name in known}


def _says_nothing(name: str, given: Mapping[str, Any]) -> bool:
    value = given[name]
    if value is None or value in NEUTRAL.get(name, ()):
        return True
    switch = PARTS_OF.get(name)
    return switch is not None and (switch not in given or _says_nothing(switch, given))


def _is_off(name: str, given: Mapping[str, Any]) -> bool:
    """Whether it says how of what is switched off: versions disagree about values that nobody needs."""
    switch = PARTS_OF.get(name)
    return switch is not None and switch in given and _says_nothing(switch, given)


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
