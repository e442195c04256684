"""Wyoming, the protocol of Home Assistant's voice servers: piper, faster-whisper and others, over TCP."""

from nexus_inference_adapters.kinds.wyoming.adapter import Wyoming

__all__ = ["Wyoming"]
