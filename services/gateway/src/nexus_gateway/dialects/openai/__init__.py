"""OpenAI's API: chat completions, completions, embeddings and models."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from nexus.types.v1 import model_pb2

from nexus_gateway.dialects.dialect import Dialect, reading
from nexus_gateway.dialects.errors import error_body
from nexus_gateway.dialects.openai.inference import Inference, inference_handler
from nexus_gateway.dialects.openai.models import Catalog, ModelRoutes
from nexus_gateway.http import EdgeOptions, Row
from nexus_gateway.intake import Intake

__all__ = ["OpenAIPipeline", "openai_dialect"]

INFERENCE = {
    "/chat/completions": ("chat_completions", model_pb2.OPERATION_CHAT),
    "/completions": ("completions", model_pb2.OPERATION_COMPLETION),
    "/embeddings": ("embeddings", model_pb2.OPERATION_EMBEDDING),
}


class OpenAIPipeline(Inference, Catalog, Protocol):
    """What this dialect asks of the rest of the gateway."""


def openai_dialect(pipeline: OpenAIPipeline, intake: Intake, options: EdgeOptions) -> Dialect:
    models, pause = ModelRoutes(pipeline), options.keep_alive_comment_seconds
    rows = [
        Row(
            name,
            path,
            {"POST": inference_handler(pipeline, operation, intake, pause)},
            refused=partial(pipeline.refused, operation),
        )
        for path, (name, operation) in INFERENCE.items()
    ]
    rows += [
        Row("models", "/models", reading(models.list)),
        Row("model", "/models/{model_id:path}", reading(models.retrieve)),
    ]
    return Dialect(rows, error_body)
