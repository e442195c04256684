"""What an answer costs by the operator's prices: by its usage, or an estimate where that is not known yet."""

from __future__ import annotations

from nexus.types.v1 import model_pb2
from nexus_routing import FREE, Candidate

from nexus_gateway.core import InferenceRequest, Passage, estimate

__all__ = ["Costs"]

FIRST_MEAN = 256.0
"""Tokens of an answer of a model that has not answered yet."""
SHARE = 0.1
"""Of the newest answer in the mean."""
MAXIMUM = ("max_completion_tokens", "max_tokens")
"""What a request calls the most tokens of one choice; the first it has counts."""
KEPT = 1024
"""Models whose mean is remembered."""


class Costs:
    """Knows how long answers of models that cost something are on average."""

    def __init__(self) -> None:
        self._means: dict[str, float] = {}

    def tell(self, passage: Passage) -> None:
        """Writes the cost into `served`, as exactly as it is known by now."""
        if passage.served is not None and passage.candidate is not None:
            passage.served.cost_dollars = self._cost(passage, passage.candidate)

    def learn(self, passage: Passage) -> None:
        """From the usage of a whole answer."""
        usage, candidate = passage.usage, passage.candidate
        if usage is None or candidate is None or candidate.price == FREE:
            return
        model = candidate.model.id
        mean = self._means.pop(model, FIRST_MEAN)
        if len(self._means) >= KEPT:
            del self._means[next(iter(self._means))]
        self._means[model] = mean + SHARE * (usage.completion_tokens - mean)

    def _cost(self, passage: Passage, candidate: Candidate) -> float:
        if candidate.price == FREE:
            return 0.0
        if passage.cost is not None:
            return passage.cost
        prompt = passage.counted or estimate(passage.request)
        return candidate.price.cost(prompt, self._answer_tokens(passage.request, candidate.model.id))

    def _answer_tokens(self, request: InferenceRequest, model: str) -> float:
        if request.operation == model_pb2.OPERATION_EMBEDDING:
            return 0.0
        body = request.outline
        most = next((body[name] for name in MAXIMUM if body.get(name, -1) >= 0), None)
        return self._means.get(model, FIRST_MEAN) if most is None else most * request.answers
