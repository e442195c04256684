"""OpenAI's form of requests and answers, how engines differ from it, and the adapter for all that speak it."""

from nexus_inference_adapters.openai.answers import decoded
from nexus_inference_adapters.openai.collected import collect
from nexus_inference_adapters.openai.compatible import OpenAICompatible
from nexus_inference_adapters.openai.event_stream import ChunkNormaliser, LineReader
from nexus_inference_adapters.openai.forced_tools import Forced, forced_names
from nexus_inference_adapters.openai.json_shape import fits
from nexus_inference_adapters.openai.normalise import embedded_rows
from nexus_inference_adapters.openai.requests import (
    OBJECT,
    check,
    check_forwarded,
    set_parameters,
    wants_tools,
)
from nexus_inference_adapters.openai.servers import public_name
from nexus_inference_adapters.openai.thinking import wish
from nexus_inference_adapters.openai.types import (
    Chunk,
    ChunkChoice,
    Delta,
    EmbeddingRow,
    Embeddings,
    Function,
    ToolCall,
)

__all__ = [
    "OBJECT",
    "Chunk",
    "ChunkChoice",
    "ChunkNormaliser",
    "Delta",
    "EmbeddingRow",
    "Embeddings",
    "Forced",
    "Function",
    "LineReader",
    "OpenAICompatible",
    "ToolCall",
    "check",
    "check_forwarded",
    "collect",
    "decoded",
    "embedded_rows",
    "fits",
    "forced_names",
    "public_name",
    "set_parameters",
    "wants_tools",
    "wish",
]
