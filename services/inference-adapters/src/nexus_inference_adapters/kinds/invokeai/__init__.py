"""InvokeAI: graphs in its queue, heard over its Socket.IO."""

from nexus_inference_adapters.kinds.invokeai.adapter import InvokeAI

__all__ = ["InvokeAI"]
