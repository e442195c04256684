"""What an engine is asked: what it would pass over is refused by name, and what it wants said otherwise is changed.

Each row of the changes is of our making. So an engine's refusal of it is never the caller's mistake: it is asked once
more without, and the row is left out from then on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from nexus_mesh.core import MeshError, Reason
from nexus_operations import spec_of

from nexus_inference_adapters.contract import Work
from nexus_inference_adapters.openai.forwarded import PLAIN, listed

__all__ = [
    "IGNORED",
    "OBJECT",
    "STREAM",
    "Differences",
    "calls_one",
    "check",
    "check_forwarded",
    "set_parameters",
    "wants_tools",
]

Body = Mapping[str, Any]
Harmless = Callable[[Any], bool]
HARMLESS: dict[str, Harmless] = {
    "n": lambda value: value == 1,
    "best_of": lambda value: value == 1,
    "echo": lambda value: value is False,
    "logit_bias": lambda value: value == {},
    "logprobs": lambda value: value is False,
    "top_logprobs": lambda value: value == 0,
    "tool_choice": lambda value: value in ("auto", "none"),
    "functions": lambda value: value == [],
    "function_call": lambda value: value in ("auto", "none"),
    "response_format": lambda value: isinstance(value, dict) and value.get("type") == "text",
    "suffix": lambda value: value == "",
    "modalities": lambda value: value == ["text"],
    "audio": lambda _: False,
    "web_search_options": lambda _: False,
    "prediction": lambda _: True,
}
IGNORED: dict[str, frozenset[str]] = {
    "llama.cpp": frozenset({"functions", "function_call", "audio", "web_search_options"}),
    "vllm": frozenset({"functions", "function_call", "audio", "web_search_options", "best_of"}),
}
"""Of OpenAI's parameters those that an engine passes over without a word."""
OBJECT = {"type": "object"}
"""The schema of any JSON object: kept also by versions that pass over the word `json_object`."""
STREAM = "stream"
REFUSED = frozenset({Reason.INVALID_REQUEST, Reason.UNSUPPORTED_PARAMETER, Reason.CAPABILITY_MISSING})
UNKNOWN_FIELD = (
    r"extra|unknown|unrecogni[sz]ed|unexpected|additional|not (permitted|allowed|supported|valid)|unsupported"
    r"|\b(field|parameter|argument|propert(y|ies)|key)s?\b|schema|refused the request\.$"
)
"""A refusal of something in the body without saying what, or without a word."""
REFUSALS = frozenset({"400", "422", "501"})


def check_forwarded(
    engine: str, body: Mapping[str, Any], granted: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """What of a body is for the engine. Raises UNSUPPORTED_PARAMETER for the first parameter it would pass over.

    `granted`: what is sent though it is on no list. Of Ollama's own that is `keep_alive` and options.
    """
    if body.keys() <= PLAIN:
        return dict(body)
    return listed(engine, body, granted)


def set_parameters(body: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that say something: null means absent."""
    return {key: value for key, value in body.items() if value is not None}


def check(body: Mapping[str, Any], unsupported: frozenset[str], backend: str) -> None:
    """Raises UNSUPPORTED_PARAMETER for the first parameter the backend would ignore."""
    for name in sorted(unsupported & body.keys()):
        if not HARMLESS[name](body[name]):
            raise MeshError(
                Reason.UNSUPPORTED_PARAMETER,
                f"{backend} cannot honour {name!r} with this value; leave it out or choose another backend.",
                metadata={"param": name},
            )


def calls_one(body: Mapping[str, Any]) -> bool:
    """Whether a turn may call one tool at most: few engines can be told so, and calls after the first do not go on."""
    return body.get("parallel_tool_calls") is False


def wants_tools(body: Mapping[str, Any]) -> bool:
    return bool(body.get("tools")) and body.get("tool_choice") != "none"


@dataclass(frozen=True, slots=True)
class Difference:
    """`engines`: whom it is for; empty = all. `change`: the fields to set, {} where there is nothing to do.

    `words` of a refusal are about this row.
    """

    name: str
    engines: frozenset[str]
    change: Callable[[Work, Body, bool], dict[str, Any]]
    words: str
    but: frozenset[str] = frozenset()

    def fits(self, engine: str) -> bool:
        return engine not in self.but and (not self.engines or engine in self.engines)


def _developer_as_system(_: Work, body: Body, __: bool) -> dict[str, Any]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not any(_is_developer(message) for message in messages):
        return {}
    return {"messages": [{**each, "role": "system"} if _is_developer(each) else each for each in messages]}


def _is_developer(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") == "developer"


def _refusals_as_text(_: Work, body: Body, __: bool) -> dict[str, Any]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not any(_refuses(each) for each in messages):
        return {}
    return {
        "messages": [
            {**each, "content": _told(each["content"])} if _refuses(each) else each for each in messages
        ]
    }


def _refuses(message: Any) -> bool:
    content = message.get("content") if isinstance(message, dict) else None
    return isinstance(content, list) and any(_is_refusal(part) for part in content)


def _is_refusal(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "refusal"


def _told(parts: list[Any]) -> list[Any]:
    return [{"type": "text", "text": each.get("refusal")} if _is_refusal(each) else each for each in parts]


def _structured(_: Work, body: Body, __: bool) -> dict[str, Any]:
    """vLLM took `guided_json` and its like by this name and, versions later, forgot the old ones."""
    given = {own: body[name] for name, own in GUIDED.items() if body.get(name) is not None}
    return {"structured_outputs": given} if given and body.get("structured_outputs") is None else {}


def _older_limit(_: Work, body: Body, __: bool) -> dict[str, Any]:
    limit = body.get("max_completion_tokens")
    return {} if limit is None or body.get("max_tokens") is not None else {"max_tokens": limit}


def _text_limit(work: Work, body: Body, _: bool) -> dict[str, Any]:
    """What OpenAI means when no limit is said has to be said to engines that mean another."""
    unsaid = spec_of(work.operation).most({})
    return (
        {"max_tokens": unsaid}
        if unsaid and spec_of(work.operation).most(set_parameters(body)) == unsaid
        else {}
    )


def _object_as_schema(_: Work, body: Body, __: bool) -> dict[str, Any]:
    wanted = body.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_object" or "schema" in wanted:
        return {}
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "object", "schema": OBJECT}}}


def _streamed(_: Work, __: Body, stream: bool) -> dict[str, Any]:
    return {"stream": True} if stream else {}


def _counted(_: Work, __: Body, stream: bool) -> dict[str, Any]:
    return {"stream_options": {"include_usage": True}} if stream else {}


GUIDED = {
    "guided_json": "json",
    "guided_regex": "regex",
    "guided_choice": "choice",
    "guided_grammar": "grammar",
    "guided_whitespace_pattern": "whitespace_pattern",
}
OWN = frozenset({"openai"})
DIFFERENCES = (
    Difference("developer", frozenset(), _developer_as_system, r"\bsystem\b", but=OWN),
    Difference("refusal", frozenset(), _refusals_as_text, r"refusal|content", but=OWN),
    Difference("structured outputs", frozenset({"vllm"}), _structured, r"structured_outputs"),
    Difference("older limit", frozenset({"other", "exo", "lm-studio"}), _older_limit, r"max_tokens"),
    Difference("text limit", frozenset(), _text_limit, r"max_tokens"),
    Difference("json object", frozenset({"llama.cpp"}), _object_as_schema, r"schema|response_format|grammar"),
    Difference("usage", frozenset(), _counted, r"stream_options|include_usage"),
    Difference(STREAM, frozenset(), _streamed, r"\bstream(ing|ed)?\b"),
)


class Differences:
    """The rows for one backend, and what it has taught of them until it is another."""

    def __init__(self) -> None:
        self._refused: set[str] = set()
        self._accepted: set[str] = set()

    def forget(self) -> None:
        """Another server may answer at this address from now on."""
        self._refused.clear()
        self._accepted.clear()

    @property
    def asks_whole(self) -> bool:
        """Whether this backend gives whole answers better than it streams them."""
        return STREAM in self._refused

    def leave_out(self, names: Iterable[str]) -> None:
        self._refused |= set(names)

    def readmit(self, name: str) -> None:
        """It works after all: what was learned may have been one answer's oddity."""
        self._refused.discard(name)

    def accept(self, names: Iterable[str]) -> None:
        self._accepted |= set(names)

    def apply(
        self, engine: str, work: Work, body: dict[str, Any], *, stream: bool, without: Collection[str] = ()
    ) -> tuple[dict[str, Any], list[str]]:
        """The body as the engine takes it, and the rows that changed it."""
        applied: list[str] = []
        skipped = (self._refused - {STREAM}) | {*without}
        for row in _rows(engine):
            if row.name in skipped:
                continue
            if change := row.change(work, body, stream and STREAM not in skipped):
                body = {**body, **change}
                applied.append(row.name)
        return body, applied

    def suspects(self, error: MeshError, applied: Iterable[str], *, whole: bool) -> list[str]:
        """The rows a refusal may be about: those it names, or of an unnamed field those that were never accepted.

        `whole`: the answer is wanted whole, so that it need not come as a stream.
        """
        if error.reason not in REFUSED or error.metadata.get("upstream_status") not in REFUSALS:
            return []
        if "code" in error.metadata:
            return []  # a verdict on the prompt
        mine = [row for row in DIFFERENCES if row.name in applied and (whole or row.name != STREAM)]
        said = f"{error.metadata.get('param', '')} {error.message}"
        named = [row.name for row in mine if re.search(row.words, said, re.IGNORECASE)]
        if not named and re.search(UNKNOWN_FIELD, said, re.IGNORECASE):
            return [row.name for row in mine if row.name not in self._accepted]
        return named


@cache
def _rows(engine: str) -> tuple[Difference, ...]:
    return tuple(row for row in DIFFERENCES if row.fits(engine))
