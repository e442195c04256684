"""ComfyUI: workflows as data, run as prompts of its queue, heard over its WebSocket."""

from nexus_inference_adapters.kinds.comfyui.adapter import ComfyUI

__all__ = ["ComfyUI"]
