"""What people read of a parameter where they fill in a form: its group, a sentence, its unit, and whether it can wait.

By name, for every operation that has one; `operation.name` where it is another thing there. A parameter without a row
is in the last group, with what its backend says of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["GROUPS", "OTHERS", "TOKENS", "Words", "words_of"]

TOKENS = "tokens"
"""The unit of what takes room in a model's context."""
GROUPS: Mapping[str, str] = {
    "input": "What to work on",
    "output": "What comes of it",
    "tools": "Tools",
    "sampling": "How it is made",
    "model": "Of this model",
    "delivery": "How it is sent",
    "labels": "Labels",
}
"""By their names, in their order."""
OTHERS = "model"


class Words(NamedTuple):
    """`about` is a sentence; `unit` empty = it has none."""

    group: str
    about: str = ""
    unit: str = ""
    advanced: bool = False


_ROWS: Mapping[str, Words] = {
    "model": Words("input", "The model's name."),
    "messages": Words("input", "The conversation so far, oldest first."),
    "prompt": Words("input", "The text to work on."),
    "image.prompt": Words("input", "What to paint."),
    "video.prompt": Words("input", "What to show."),
    "input_reference": Words("input", "The picture it begins with."),
    "transcription.prompt": Words("input", "Words that are likely to be heard, or what was said before."),
    "translation.prompt": Words("input", "Words that are likely to be heard, in English."),
    "input": Words("input", "The text or texts to embed."),
    "speech.input": Words("input", "The text to speak."),
    "file": Words("input", "The recording."),
    "suffix": Words("input", "What comes after the text that is made.", advanced=True),
    "voice": Words("output", "Who speaks."),
    "instructions": Words("output", "How to speak: mood, pace, accent."),
    "speed": Words("output", "How fast to speak; 1 is the usual."),
    "language": Words("input", "The language of the recording; left out, it is found out."),
    "languages": Words("input", "Languages that may be heard.", advanced=True),
    "keywords": Words("input", "Words that are likely to be heard: names, terms.", advanced=True),
    "size": Words("output", "Width and height.", "pixels"),
    "seconds": Words("output", "How long it is to be.", "seconds"),
    "fps": Words("output", "Pictures a second.", advanced=True),
    "n": Words("output", "How many to make."),
    "quality": Words("output", "How much work goes into it."),
    "style": Words("output", "Of the picture."),
    "background": Words("output", "Whether something shows through."),
    "output_format": Words("output", "The kind of file."),
    "output_compression": Words(
        "output", "How good a file that loses something is.", "percent", advanced=True
    ),
    "response_format": Words("output", "The form of the answer."),
    "speech.response_format": Words("output", "The kind of sound file."),
    "image.response_format": Words("delivery", "Where the picture is to be found.", advanced=True),
    "encoding_format": Words("delivery", "How vectors are written.", advanced=True),
    "dimensions": Words("output", "The length of a vector.", advanced=True),
    "max_tokens": Words("output", "The longest answer.", TOKENS),
    "max_completion_tokens": Words("output", "The longest answer, thoughts included.", TOKENS, advanced=True),
    "timestamp_granularities": Words("output", "What to give the times of."),
    "include": Words("output", "What else to tell.", advanced=True),
    "tools": Words("tools", "Functions that the model may ask to be called."),
    "tool_choice": Words("tools", "Whether it may, or must."),
    "parallel_tool_calls": Words("tools", "Whether it may ask for several at once.", advanced=True),
    "temperature": Words("sampling", "How freely to choose: 0 is the likeliest every time."),
    "top_p": Words("sampling", "Of what probability those are together that are chosen among."),
    "seed": Words("sampling", "The same number makes the same again, as far as the engine can."),
    "steps": Words("sampling", "How often to go over it: more is better and slower.", "steps"),
    "stop": Words("sampling", "Texts at which to end."),
    "frequency_penalty": Words("sampling", "Against words by how often they were used.", advanced=True),
    "presence_penalty": Words("sampling", "Against words that were used at all.", advanced=True),
    "logit_bias": Words("sampling", "For or against tokens, by their ids.", advanced=True),
    "reasoning_effort": Words("sampling", "How long to think.", advanced=True),
    "verbosity": Words("sampling", "How much to say.", advanced=True),
    "chunking_strategy": Words("sampling", "How speech is told from silence.", advanced=True),
    "negative_prompt": Words("input", "What to leave out."),
    "logprobs": Words("output", "Whether to tell how likely each token was.", advanced=True),
    "completion.logprobs": Words("output", "Of how many tokens to tell how likely each was.", advanced=True),
    "top_logprobs": Words("output", "Of how many others at each place.", advanced=True),
    "echo": Words("output", "Whether the prompt is to stand before the answer.", advanced=True),
    "stream": Words("delivery", "Whether to send it as it is made."),
    "stream_options": Words("delivery", "What a stream tells besides.", advanced=True),
    "stream_format": Words("delivery", "Bytes, or events that carry them.", advanced=True),
    "partial_images": Words("delivery", "Looks at it on its way.", advanced=True),
    "service_tier": Words("labels", advanced=True),
    "store": Words("labels", advanced=True),
    "metadata": Words("labels", "Labels of yours.", advanced=True),
    "user": Words("labels", "Who it is for, by a name of yours.", advanced=True),
    "safety_identifier": Words("labels", "Who it is for, by a name of yours.", advanced=True),
    "prompt_cache_key": Words("labels", "What prompts that begin alike have in common.", advanced=True),
}


def words_of(operation: str, name: str) -> Words:
    """Of a parameter of an operation, by its name in lower case."""
    return _ROWS.get(f"{operation}.{name}") or _ROWS.get(name) or Words(OTHERS)
