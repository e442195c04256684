"""Every kind of backend there is. A new one is a file or a folder beside this one, and its line here."""

from __future__ import annotations

from nexus_inference_adapters.contract import Adapter
from nexus_inference_adapters.kinds.a1111 import A1111
from nexus_inference_adapters.kinds.comfyui import ComfyUI
from nexus_inference_adapters.kinds.docling import Docling
from nexus_inference_adapters.kinds.embedded import Embedded
from nexus_inference_adapters.kinds.espeak import Espeak
from nexus_inference_adapters.kinds.invokeai import InvokeAI
from nexus_inference_adapters.kinds.mlx import Mlx
from nexus_inference_adapters.kinds.ollama import Ollama
from nexus_inference_adapters.kinds.openai_images import OpenAIImages
from nexus_inference_adapters.kinds.openai_speech import OpenAISpeech
from nexus_inference_adapters.kinds.openai_transcription import OpenAITranscription
from nexus_inference_adapters.kinds.openai_videos import OpenAIVideos
from nexus_inference_adapters.kinds.painter import Painter
from nexus_inference_adapters.kinds.piper import Piper
from nexus_inference_adapters.kinds.piper_http import PiperHttp
from nexus_inference_adapters.kinds.rapidocr import RapidOcr, can_read
from nexus_inference_adapters.kinds.whisper import Whisper
from nexus_inference_adapters.kinds.wyoming import Wyoming
from nexus_inference_adapters.openai import OpenAICompatible

__all__ = ["ADAPTERS", "KINDS", "can_read"]

KINDS: tuple[type[Adapter], ...] = (
    Ollama,
    Mlx,
    ComfyUI,
    A1111,
    InvokeAI,
    OpenAIImages,
    Docling,
    Embedded,
    Espeak,
    Painter,
    RapidOcr,
    Piper,
    Whisper,
    Wyoming,
    PiperHttp,
    OpenAISpeech,
    OpenAITranscription,
    OpenAIVideos,
    OpenAICompatible,
)
"""In the order in which a server nobody named is asked whether it is one: the one that fits most comes last."""
ADAPTERS = {kind.kind: kind for kind in KINDS}
