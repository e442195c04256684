"""Recordings into words: Whisper by CTranslate2, each model in a process of its own that comes and goes."""

from nexus_inference_adapters.kinds.whisper.adapter import Whisper

__all__ = ["Whisper"]
