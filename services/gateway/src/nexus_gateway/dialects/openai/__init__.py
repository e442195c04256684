"""OpenAI's API: chat completions, completions, embeddings, speech, recordings, pictures and models."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from nexus_operations import SPECS, Shape

from nexus_gateway.dialects.dialect import Dialect, reading
from nexus_gateway.dialects.errors import error_body
from nexus_gateway.dialects.openai.described import (
    MODEL,
    MODELS,
    SPEECH_MODELS,
    VOICES,
    inference_call,
)
from nexus_gateway.dialects.openai.inference import Inference, inference_handler
from nexus_gateway.dialects.openai.models import Catalog, ModelRoutes
from nexus_gateway.dialects.openai.speech import SpeechRoutes
from nexus_gateway.dialects.openai.uploads import upload_handler
from nexus_gateway.http import EdgeOptions, Row
from nexus_gateway.intake import Intake
from nexus_gateway.validation import CHECKS

__all__ = ["OpenAIPipeline", "openai_dialect"]


class OpenAIPipeline(Inference, Catalog, Protocol):
    """What this dialect asks of the rest of the gateway."""


def openai_dialect(pipeline: OpenAIPipeline, intake: Intake, options: EdgeOptions) -> Dialect:
    models, pause = ModelRoutes(pipeline), options.keep_alive_comment_seconds
    speech = SpeechRoutes(pipeline)
    rows = [
        Row(
            spec.path[1:].replace("/", "_"),
            spec.path,
            {
                "POST": upload_handler(pipeline, number, intake, options)
                if spec.shape is Shape.UPLOAD
                else inference_handler(pipeline, number, intake, pause)
            },
            refused=partial(pipeline.refused, number),
            calls=(inference_call(number),),
        )
        for number, spec in SPECS.items()
        if number in CHECKS
    ]
    rows += [
        Row("models", "/models", reading(models.list), calls=(MODELS,)),
        Row("model", "/models/{model_id:path}", reading(models.retrieve), calls=(MODEL,)),
        Row("audio_voices", "/audio/voices", reading(speech.voices), calls=(VOICES,)),
        Row("audio_models", "/audio/models", reading(speech.models), calls=(SPEECH_MODELS,)),
    ]
    return Dialect(rows, error_body)
