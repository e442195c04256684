"""The parameters of each operation: names, kinds and bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from nexus_mesh.core import JsonArray, JsonObject

from nexus_gateway.validation.refusals import bad_value, missing, unsupported, wrong_type

MAX_WEIGHT = 1e6

Rule = Callable[[object, str], object]
"""Takes a value and its path; raises MeshError when the value will not do."""

# Beside the rules and not around them, so that checking costs what it did; weak, for some are made for one request.
_SHAPES: WeakKeyDictionary[Rule, JsonObject] = WeakKeyDictionary()
_R = TypeVar("_R", bound=Rule)


def shaped(**schema: object) -> Callable[[_R], _R]:
    """Marks a rule with the JSON Schema of what it takes: never narrower, and wider where a schema can't say it."""

    def mark(rule: _R) -> _R:
        _SHAPES[rule] = schema
        return rule

    return mark


def shape_of(rule: Rule) -> JsonObject:
    """The JSON Schema of what a rule takes; an empty one, which takes anything, where nobody has said."""
    return _SHAPES.get(rule, {})


def checked_later(**schema: object) -> Rule:
    """Takes anything: whoever has such a parameter in its table checks it itself, with more than its value at hand."""
    return shaped(**schema)(lambda _value, _path: None)


def check_object(body: JsonObject, rules: Mapping[str, Rule], required: Iterable[str]) -> None:
    """Checks the parameters that have a rule; the others pass. Optional nulls mean "default": they go."""
    for name in required:
        if name not in body:
            raise missing(name)
    nulls = []
    for name, value in body.items():
        rule = rules.get(name)
        if rule is None:
            continue
        if value is None and name not in required:
            nulls.append(name)
        else:
            rule(value, name)
    for name in nulls:
        del body[name]


def drop_nothings(body: JsonObject, nothings: Mapping[str, tuple[object, ...]]) -> None:
    """Takes out the parameters whose value asks for what comes without them."""
    for name in nothings.keys() & body.keys():
        if body[name] in nothings[name]:
            del body[name]


@shaped(type="boolean")
def boolean(value: object, path: str) -> None:
    if type(value) is not bool:
        raise wrong_type(path, "a boolean", value)


@shaped(type="object")
def mapping(value: object, path: str) -> JsonObject:
    if type(value) is not dict:
        raise wrong_type(path, "an object", value)
    return value


@shaped(type="array")
def array(value: object, path: str) -> JsonArray:
    if type(value) is not list:
        raise wrong_type(path, "an array", value)
    return value


def integer(low: int, high: int) -> Rule:
    @shaped(type="integer", minimum=low, maximum=high)
    def check(value: object, path: str) -> None:
        if type(value) is not int:
            raise wrong_type(path, "an integer", value)
        if not low <= value <= high:
            raise bad_value(path, f"be between {low} and {high}")

    return check


def number(low: float, high: float) -> Rule:
    @shaped(type="number", minimum=low, maximum=high)
    def check(value: object, path: str) -> None:
        if type(value) is not float and type(value) is not int:
            raise wrong_type(path, "a number", value)
        if not low <= value <= high:
            raise bad_value(path, f"be between {low} and {high}")

    return check


def string(longest: int, *, shortest: int = 0) -> Rule:
    """A string that becomes a name or a label somewhere: bounded, and without NUL."""

    @shaped(type="string", minLength=shortest, maxLength=longest)
    def check(value: object, path: str) -> None:
        if type(value) is not str:
            raise wrong_type(path, "a string", value)
        if not shortest <= len(value) <= longest:
            raise bad_value(path, f"have {shortest} to {longest} characters")
        if "\0" in value:
            raise bad_value(path, "not contain a NUL character")

    return check


@shaped(type="string")
def text(value: object, path: str) -> None:
    """A string of any length and content."""
    if type(value) is not str:
        raise wrong_type(path, "a string", value)


def one_of(*words: str) -> Rule:
    @shaped(type="string", enum=list(words))
    def check(value: object, path: str) -> None:
        if type(value) is not str:
            raise wrong_type(path, "a string", value)
        if value not in words:
            raise bad_value(path, f"be one of {', '.join(words)}")

    return check


SAYS_SOMETHING = r"^[^\u0000]*[^\s\u0000-\u001f\u0085\u2028\u2029][^\u0000]*$"
"""A pattern for texts that are more than white space, whoever's idea of it, and have no NUL."""


def text_or_texts(most: int, least: int = 1) -> Rule:
    texts = {"type": "array", "items": {"type": "string"}, "minItems": least, "maxItems": most}

    @shaped(anyOf=[{"type": "string"}, texts])
    def check(value: object, path: str) -> None:
        if type(value) is str:
            return
        if type(value) is not list:
            raise wrong_type(path, "a string or an array of strings", value)
        if not least <= len(value) <= most:
            raise bad_value(path, f"have {least} to {most} entries")
        for index, item in enumerate(value):
            text(item, f"{path}[{index}]")

    return check


_label, _label_value = string(256), string(4096)


@shaped(type="object", maxProperties=64, additionalProperties={"type": "string", "maxLength": 4096})
def labels(value: object, path: str) -> None:
    """`metadata`: pairs of short strings."""
    value = mapping(value, path)
    if len(value) > 64:
        raise bad_value(path, "have at most 64 keys")
    for key, item in value.items():
        _label(key, f"{path}.{key[:64]}")
        _label_value(item, f"{path}.{key[:64]}")


@shaped(type="object", additionalProperties={"type": "number", "minimum": -MAX_WEIGHT, "maximum": MAX_WEIGHT})
def token_weights(value: object, path: str) -> None:
    """`logit_bias`: token id -> weight."""
    value = mapping(value, path)
    weight = number(-MAX_WEIGHT, MAX_WEIGHT)
    for key, item in value.items():
        weight(item, f"{path}.{key[:64]}")


MAX_TOKENS = 2**31 - 1
MAX_INT64 = 2**63 - 1
MAX_CHOICES = 128
MAX_STOPS = 1_000
MAX_ALTERNATIVES = 10_000
MAX_STRENGTH = 1_000

SAYS_NOTHING: dict[str, tuple[Any, ...]] = {"stop": ([],), "logit_bias": ({},)}
"""Values that ask for what comes without the parameter."""


@shaped(
    type="object",
    properties={
        "include_usage": {"type": ["boolean", "null"]},
        "include_obfuscation": {"type": ["boolean", "null"]},
    },
)
def check_stream_options(value: object, path: str) -> None:
    value = mapping(value, path)
    for name in ("include_usage", "include_obfuscation"):
        if value.get(name) is not None:
            boolean(value[name], f"{path}.{name}")


@shaped(type="integer", minimum=-1, maximum=MAX_TOKENS)
def token_limit(value: object, path: str) -> None:
    """At least one token, or the -1 by which local engines mean no limit."""
    if value != -1 or type(value) is not int:
        _tokens(value, path)


_tokens = integer(1, MAX_TOKENS)
SOME_TOKENS = shape_of(_tokens)
"""A limit that is one."""

# Bounds that protect us and whoever parses the numbers. What an engine can do with a value within them is its word:
# OpenAI's own limits are its own to tell.
SAMPLING: dict[str, Rule] = {
    "model": string(65_536),
    "stream": boolean,
    "stream_options": check_stream_options,
    "max_tokens": token_limit,
    "temperature": number(0, MAX_STRENGTH),
    "top_p": number(0, 1),
    "n": integer(1, MAX_CHOICES),
    "stop": text_or_texts(MAX_STOPS, least=0),
    "seed": integer(-MAX_INT64 - 1, MAX_INT64),
    "frequency_penalty": number(-MAX_STRENGTH, MAX_STRENGTH),
    "presence_penalty": number(-MAX_STRENGTH, MAX_STRENGTH),
    "logit_bias": token_weights,
    "metadata": labels,
    "user": string(512),
    "safety_identifier": string(512),
    "prompt_cache_key": string(512),
}


def streaming(body: JsonObject) -> tuple[bool, bool]:
    """Whether to stream, and whether to end the stream with usage."""
    stream = body.get("stream", False)
    options = body.get("stream_options")
    if options is not None and not stream:
        raise bad_value("stream_options", "only be sent with 'stream': true")
    return stream, bool(options and options.get("include_usage"))


ROUTING = (
    "api_base",
    "base_url",
    "api_key",
    "api_type",
    "api_version",
    "custom_llm_provider",
    "headers",
    "extra_headers",
    "extra_query",
    "extra_body",
    "organization",
    "litellm_params",
    "fallbacks",
    "proxy",
    "proxies",
)
TEMPLATE = (
    "chat_template",
    "add_generation_prompt",
    "continue_final_message",
    "add_special_tokens",
    "prompt_embeds",
)
DENIED: dict[str, str] = {
    **dict.fromkeys(ROUTING, "the mesh alone decides where a request goes, and with which key. Remove it."),
    **dict.fromkeys(TEMPLATE, "it goes behind the model's own template. Remove it."),
}
"""No client may ever hand them to a backend: they redirect the request, carry credentials, or replace the model's
template. Everything else is a matter of who asks."""


def refuse_denied(found: JsonObject, path: str = "") -> None:
    """MeshError UNSUPPORTED_PARAMETER if `found`, the object at `path`, has a denied key."""
    if DENIED.keys().isdisjoint(found):
        return
    name = next(key for key in found if key in DENIED)
    raise unsupported(f"{path}.{name}" if path else name, DENIED[name])
