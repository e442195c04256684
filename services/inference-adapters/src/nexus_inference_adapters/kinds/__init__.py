"""Every kind of backend there is. A new one is a file or a folder beside this one, and its line here."""

from __future__ import annotations

from nexus_inference_adapters.contract import Adapter
from nexus_inference_adapters.kinds.embedded import Embedded
from nexus_inference_adapters.kinds.espeak import Espeak
from nexus_inference_adapters.kinds.mlx import Mlx
from nexus_inference_adapters.kinds.ollama import Ollama
from nexus_inference_adapters.kinds.openai_videos import OpenAIVideos
from nexus_inference_adapters.kinds.painter import Painter
from nexus_inference_adapters.kinds.whisper import Whisper
from nexus_inference_adapters.openai import OpenAICompatible

__all__ = ["ADAPTERS", "KINDS"]

KINDS: tuple[type[Adapter], ...] = (
    Ollama,
    Mlx,
    Embedded,
    Espeak,
    Painter,
    Whisper,
    OpenAIVideos,
    OpenAICompatible,
)
"""In the order in which a server nobody named is asked whether it is one: the one that fits most comes last."""
ADAPTERS = {kind.kind: kind for kind in KINDS}
