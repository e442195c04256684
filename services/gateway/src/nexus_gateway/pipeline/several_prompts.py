"""Several prompts where a backend takes one at a time: each by itself, and one answer made of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
from nexus.inference.v1 import inference_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core import JsonObject, MeshError, Reason

from nexus_gateway.core import InferenceRequest

__all__ = ["is_separable", "joined", "separated"]

CHOICES = model_pb2.CAPABILITY_CHOICES
DECODE, ENCODE = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode


def is_separable(request: InferenceRequest, error: MeshError) -> bool:
    """Whether only the number of its prompts stands between a request and who could serve it."""
    return (
        error.reason is Reason.UNSUPPORTED_PARAMETER
        and error.metadata.get("param") == "prompt"
        and request.asked.get(CHOICES) == "prompt"
    )


def separated(request: InferenceRequest) -> list[InferenceRequest]:
    """A request for each prompt."""
    body = request.body  # asked for once: a large one is made anew each time
    prompts = body["prompt"]
    each = request.answers // len(prompts)
    still = "n" if each > 1 else "best_of" if body.get("best_of", 1) > 1 else ""
    asked = {need: param for need, param in request.asked.items() if need != CHOICES or still}
    return [
        replace(
            request,
            body={**body, "prompt": prompt},
            needs=frozenset(asked),
            asked={**asked, CHOICES: still} if still else asked,
            answers=each,
            request_id=f"{request.request_id}-{place}",
            size=0,
        )
        for place, prompt in enumerate(prompts)
    ]


def joined(answers: Sequence[inference_pb2.CompleteResponse]) -> inference_pb2.CompleteResponse:
    """The choices of all, numbered through, under the head of the first; what was used and what it cost, summed.

    Raises UPSTREAM_MALFORMED.
    """
    whole = inference_pb2.CompleteResponse()
    whole.CopyFrom(answers[0])
    try:
        bodies: list[JsonObject] = [DECODE(answer.body) for answer in answers]
        choices = [choice for body in bodies for choice in body["choices"]]
        body = {**bodies[0], "choices": [{**choice, "index": place} for place, choice in enumerate(choices)]}
    except (msgspec.DecodeError, LookupError, TypeError):
        raise MeshError(
            Reason.UPSTREAM_MALFORMED, "The backend sent something that is no answer to one of the prompts."
        ) from None
    whole.served.cost_dollars = sum(answer.served.cost_dollars for answer in answers)
    whole.ClearField("usage")
    if all(answer.HasField("usage") for answer in answers):
        prompt = sum(answer.usage.prompt_tokens for answer in answers)
        completion = sum(answer.usage.completion_tokens for answer in answers)
        whole.usage.prompt_tokens, whole.usage.completion_tokens = prompt, completion
        body["usage"] = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
    else:
        body.pop("usage", None)
    whole.body = ENCODE(body).decode()
    return whole
