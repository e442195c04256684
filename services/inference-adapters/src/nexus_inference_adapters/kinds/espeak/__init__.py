"""eSpeak NG: a small voice for a hundred languages, in a process of its own."""

from nexus_inference_adapters.kinds.espeak.adapter import Espeak

__all__ = ["Espeak"]
