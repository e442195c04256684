"""The engine in the box: llama.cpp in a process of ours."""

from nexus_inference_adapters.kinds.embedded.adapter import Embedded

__all__ = ["Embedded"]
