"""Ollama over its own API."""

from nexus_inference_adapters.ollama.adapter import Ollama

__all__ = ["Ollama"]
