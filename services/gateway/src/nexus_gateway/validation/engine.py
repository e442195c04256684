"""Parameters of engines beyond OpenAI's that any key may send: an allow-list, one row each with its rule.

What is in no table is passed on for keys that manage models, and by the operator's `passthrough` setting; what an
engine does with a parameter nobody here knows may reach past the one request it came with.
"""

from __future__ import annotations

from nexus_gateway.validation.params import (
    MAX_ALTERNATIVES,
    Rule,
    array,
    boolean,
    integer,
    one_of,
    shape_of,
    shaped,
    string,
    text,
    text_or_texts,
)
from nexus_gateway.validation.refusals import bad_value, wrong_type
from nexus_gateway.validation.template import scalars, template_variables
from nexus_gateway.validation.tools import check_pattern, check_schema

__all__ = ["ENGINE", "OPTIONS"]

MAX_GRAMMAR = 65_536
MAX_TEXTS = 1_000
MAGNITUDE = 2**53


@shaped(type="number", minimum=-MAGNITUDE, maximum=MAGNITUDE)
def _number(value: object, path: str) -> None:
    if type(value) is not int and type(value) is not float:
        raise wrong_type(path, "a number", value)
    if not -MAGNITUDE <= value <= MAGNITUDE:
        raise bad_value(path, "be a number of at most 53 bits")


@shaped(type="array", items=shape_of(_number))
def _numbers(value: object, path: str) -> None:
    value = array(value, path)
    for index, item in enumerate(value):
        _number(item, f"{path}[{index}]")


def _names(value: object, path: str) -> None:
    """Samplers in an order: by name or by number, in a list or as one text."""
    if type(value) is list and set(map(type, value)) == {int}:
        return
    _texts(value, path)


@shaped(type=["boolean", "string"])
def _flag_or_word(value: object, path: str) -> None:
    if type(value) is not bool:
        string(64)(value, path)


@shaped(type=["boolean", "object"])
def _flag_or_object(value: object, path: str) -> None:
    if type(value) is not bool:
        scalars(value, path)


@shaped(type=["string", "boolean", "object"])
def _schema(value: object, path: str) -> None:
    """A JSON Schema, as an object or as its text, which only the engine reads."""
    if type(value) is str:
        string(MAX_GRAMMAR)(value, path)
    elif type(value) is not bool:
        check_schema(value, path)


@shaped(type=["string", "object"])
def _format(value: object, path: str) -> None:
    """Ollama's `format`: the word, or a schema."""
    if type(value) is str:
        one_of("", "json")(value, path)
    else:
        check_schema(value, path)


@shaped(type="string")
def _pattern(value: object, path: str) -> None:
    check_pattern(value, path)


_texts = text_or_texts(MAX_TEXTS, least=0)
_grammar = string(MAX_GRAMMAR)
_word = string(256)

_STRUCTURED: dict[str, Rule] = {
    "json": _schema,
    "regex": _pattern,
    "choice": _texts,
    "grammar": _grammar,
    "json_object": boolean,
    "whitespace_pattern": _pattern,
    "disable_any_whitespace": boolean,
    "disable_additional_properties": boolean,
}


@shaped(type="object")
def _structured(value: object, path: str) -> None:
    """vLLM's `structured_outputs`."""
    if type(value) is not dict:
        raise wrong_type(path, "an object", value)
    for name, item in value.items():
        rule = _STRUCTURED.get(name)
        if rule is None:
            raise bad_value(path, f"have no keys but {', '.join(_STRUCTURED)}")
        if item is not None:
            rule(item, f"{path}.{name}")


_NUMBERS = (
    "top_k", "top_a", "min_p", "typical_p", "typical", "tfs", "tfs_z", "epsilon_cutoff", "eta_cutoff",
    "top_n_sigma", "nsigma", "skew", "repetition_penalty", "repeat_penalty", "repeat_last_n",
    "repetition_penalty_range", "repetition_context_size", "rep_pen", "rep_pen_range", "rep_pen_slope",
    "encoder_repetition_penalty", "no_repeat_ngram_size", "length_penalty", "penalty_alpha", "mirostat",
    "mirostat_mode", "mirostat_tau", "mirostat_eta", "dynatemp_range", "dynatemp_exponent", "dynatemp_low",
    "dynatemp_high", "dynatemp_min", "dynatemp_max", "smoothing_factor", "smoothing_curve",
    "xtc_probability", "xtc_threshold", "dry_multiplier", "dry_base", "dry_allowed_length",
    "dry_penalty_last_n", "dry_range", "adaptive_target", "adaptive_decay", "guidance_scale", "min_tokens",
    "min_keep", "n_predict", "n_keep", "n_indent", "num_predict", "max_new_tokens",
    "t_max_predict_ms", "thinking_budget", "reasoning_budget_tokens", "thinking_budget_tokens",
    "thinking_token_budget", "reasoning_budget", "random_seed", "sampler_seed", "embd_normalize",
    "num_beams",
)  # fmt: skip
_FLAGS = (
    "ignore_eos", "ban_eos_token", "add_bos_token", "skip_special_tokens", "spaces_between_special_tokens",
    "include_stop_str_in_output", "penalize_nl", "temperature_last", "dynamic_temperature", "do_sample",
    "early_stopping", "include_reasoning", "separate_reasoning", "stream_reasoning", "enable_thinking",
    "preserve_thinking", "return_tokens_as_token_ids",
    "timings_per_token", "return_progress", "cache_prompt", "parse_tool_calls",
    "strict", "normalize", "trim_stop", "safe_prompt", "echo", "use_beam_search",
)  # fmt: skip
_TEXTS = (
    "bad_words", "banned_strings", "banned_tokens", "dry_sequence_breakers", "stopping_strings",
    "stop_sequences", "guided_choice",
)  # fmt: skip
_NAMES = ["samplers", "sampler_order", "sampler_priority"]
_IDS = ["stop_token_ids", "allowed_token_ids"]
_GRAMMARS = ["grammar", "grammar_string", "guided_grammar", "ebnf"]
_WORDS = (
    "reasoning_format", "negative_prompt", "input_type", "task", "prompt_cache_retention", "route",
    "custom_token_bans", "session_id", "conversation_id", "chat_id",
)  # fmt: skip
_OPTIONS = (
    "temperature", "top_k", "top_p", "min_p", "typical_p", "tfs_z", "repeat_last_n", "repeat_penalty",
    "presence_penalty", "frequency_penalty", "mirostat", "mirostat_tau", "mirostat_eta", "seed",
    "num_predict",
)  # fmt: skip

ENGINE: dict[str, Rule] = {
    **dict.fromkeys(_NUMBERS, _number),
    **dict.fromkeys(_FLAGS, boolean),
    **dict.fromkeys(_TEXTS, _texts),
    **dict.fromkeys(_NAMES, _names),
    **dict.fromkeys(_IDS, _numbers),
    **dict.fromkeys(_GRAMMARS, _grammar),
    **dict.fromkeys(_WORDS, _word),
    "n_probs": integer(0, MAX_ALTERNATIVES),
    "suffix": text,
    "think": _flag_or_word,
    "thinking": _flag_or_object,
    "reasoning": scalars,
    "usage": scalars,
    "moderation": scalars,
    "audio": scalars,
    "prompt_cache_options": scalars,
    "transforms": _texts,
    "chat_template_kwargs": template_variables,
    "format": _format,
    "json_schema": _schema,
    "guided_json": _schema,
    "guided_regex": _pattern,
    "guided_whitespace_pattern": _pattern,
    "regex": _pattern,
    "structured_outputs": _structured,
    "options": lambda _value, _path: None,  # key by key, by whoever knows who asks
}
"""Beside the tables of the endpoints. `null` means the default and does not travel."""

OPTIONS: dict[str, Rule] = {
    **dict.fromkeys(_OPTIONS, _number),
    "penalize_newline": boolean,
    "stop": _texts,
}
"""Of Ollama's `options`: what one answer is made with. All others are of the runner, which everybody shares."""
