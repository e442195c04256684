"""OpenAI's API: chat completions, completions, embeddings, speech, recordings, pictures and models."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from nexus_operations import SPECS, Operation, Shape

from nexus_gateway.dialects.dialect import Dialect, reading
from nexus_gateway.dialects.errors import error_body
from nexus_gateway.dialects.openai.described import (
    MODEL,
    MODELS,
    SPEECH_MODELS,
    VIDEO_CALLS,
    VOICES,
    inference_call,
)
from nexus_gateway.dialects.openai.inference import Conversing, inference_handler
from nexus_gateway.dialects.openai.models import ModelRoutes
from nexus_gateway.dialects.openai.speech import SpeechRoutes
from nexus_gateway.dialects.openai.uploads import upload_handler
from nexus_gateway.dialects.openai.videos import VideoPipeline, VideoRoutes
from nexus_gateway.http import EdgeOptions, Row
from nexus_gateway.intake import Intake
from nexus_gateway.validation import CHECKS

__all__ = ["OpenAIPipeline", "openai_dialect"]

LONG = frozenset({Operation.VIDEO})
"""Kinds of work that are not answered while the client waits."""


class OpenAIPipeline(Conversing, VideoPipeline, Protocol):
    """What this dialect asks of the rest of the gateway."""


def openai_dialect(pipeline: OpenAIPipeline, intake: Intake, options: EdgeOptions) -> Dialect:
    models, pause = ModelRoutes(pipeline), options.keep_alive_comment_seconds
    speech, videos = SpeechRoutes(pipeline), VideoRoutes(pipeline, intake, options)
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
        if number in CHECKS and number not in LONG
    ]
    rows += [
        Row("models", "/models", reading(models.list), calls=(MODELS,)),
        Row("model", "/models/{model_id:path}", reading(models.retrieve), calls=(MODEL,)),
        Row("audio_voices", "/audio/voices", reading(speech.voices), calls=(VOICES,)),
        Row("audio_models", "/audio/models", reading(speech.models), calls=(SPEECH_MODELS,)),
        Row(
            "videos",
            "/videos",
            {"POST": videos.create, **reading(videos.list)},
            calls=VIDEO_CALLS["videos"],
        ),
        Row(
            "video",
            "/videos/{video_id}",
            {**reading(videos.retrieve), "DELETE": videos.delete},
            calls=VIDEO_CALLS["video"],
        ),
        Row(
            "video_content",
            "/videos/{video_id}/content",
            {"GET": videos.content},
            calls=VIDEO_CALLS["content"],
        ),
        Row("video_remix", "/videos/{video_id}/remix", {"POST": videos.remix}, calls=VIDEO_CALLS["remix"]),
    ]
    return Dialect(rows, error_body)
