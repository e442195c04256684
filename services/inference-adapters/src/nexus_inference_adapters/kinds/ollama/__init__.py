"""Ollama over its own API."""

from nexus_inference_adapters.kinds.ollama.adapter import Ollama

__all__ = ["Ollama"]
