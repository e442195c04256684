"""What a fake vLLM generates for one call, as stream events or as a whole, with vLLM's own extra fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from support.openai_wire import Call, Json, Reply, usage

CHOICE_EXTRAS: Json = {"stop_reason": None, "token_ids": None}


@dataclass(frozen=True)
class Generation:
    """The first `thought_tokens` of `words` are reasoning. A tool call is (name, arguments as JSON text)."""

    reply: Reply
    words: Sequence[str]
    thought_tokens: int
    finish_reason: str
    tool_call: tuple[str, str] | None = None

    @property
    def call(self) -> Call:
        return self.reply.call

    @property
    def completion_tokens(self) -> int:
        return len(self.words) * self.call.choices

    def opening(self) -> Iterator[Json]:
        for index in range(self.call.choices):
            yield self.reply.delta({"role": "assistant", "content": ""}, index)

    def events(self, position: int) -> Iterator[Json]:
        """The events of one word: one a choice, so that with n > 1 the choices interleave."""
        options = self.call.body.get("stream_options") or {}
        for index in range(self.call.choices):
            event = self.reply.delta(self._delta(position), index, token_ids=None)
            if options.get("continuous_usage_stats"):
                event["usage"] = usage(self.call.prompt_tokens, position * self.call.choices + index + 1)
            yield event

    def closing(self) -> Iterator[Json]:
        for index in range(self.call.choices):
            yield self.reply.delta({"content": ""}, index, self.finish_reason, **CHOICE_EXTRAS)
        if self.call.include_usage:
            yield self.reply.chunk([], usage=usage(self.call.prompt_tokens, self.completion_tokens))

    def whole(self) -> Json:
        thought = "".join(self.words[: self.thought_tokens])
        content = "".join(self.words[self.thought_tokens :])
        message: Json = {"role": "assistant", "content": content, "reasoning": thought or None}
        if self.tool_call is not None:
            message |= {"content": None, "tool_calls": [tool_call_object(*self.tool_call)]}
        counts = usage(self.call.prompt_tokens, self.completion_tokens)
        body = self.reply.whole([message] * self.call.choices, self.finish_reason, counts)
        return {**body, "choices": [{**choice, **CHOICE_EXTRAS} for choice in body["choices"]]}

    def _delta(self, position: int) -> Json:
        if self.tool_call is not None:
            return tool_delta(self.tool_call, position)
        key = "reasoning" if position < self.thought_tokens else "content"
        return {key: self.words[position]}


def tool_call_object(name: str, arguments: str) -> Json:
    function = {"name": name, "arguments": arguments}
    return {"id": "chatcmpl-tool-0", "type": "function", "function": function}


def tool_delta(call: tuple[str, str], position: int) -> Json:
    """First the id and name, then the arguments."""
    name, arguments = call
    if position == 0:
        return {"tool_calls": [{"index": 0, **tool_call_object(name, "")}]}
    return {"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]}
