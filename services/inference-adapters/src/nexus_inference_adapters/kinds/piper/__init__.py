"""Piper: natural voices, each in a process of its own that comes with its first text and goes without any."""

from nexus_inference_adapters.kinds.piper.adapter import Piper

__all__ = ["Piper"]
