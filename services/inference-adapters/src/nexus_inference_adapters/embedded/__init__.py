"""The engine in the box: llama.cpp in a process of ours."""

from nexus_inference_adapters.embedded.adapter import Embedded
from nexus_inference_adapters.embedded.gguf import read_gguf

__all__ = ["Embedded", "read_gguf"]
