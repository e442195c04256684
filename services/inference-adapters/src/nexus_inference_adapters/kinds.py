"""Every kind of backend there is. A new one is a file, a line here, and its name in config.KINDS."""

from __future__ import annotations

from nexus_inference_adapters.adapter import Adapter
from nexus_inference_adapters.embedded import Embedded
from nexus_inference_adapters.mlx import Mlx
from nexus_inference_adapters.ollama import Ollama
from nexus_inference_adapters.openai_compatible import OpenAICompatible

__all__ = ["ADAPTERS"]

ADAPTERS: dict[str, type[Adapter]] = {
    "openai_compatible": OpenAICompatible,
    "ollama": Ollama,
    "mlx": Mlx,
    "embedded": Embedded,
}
