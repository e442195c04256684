"""NEXUS from Python: complete, stream, embed, count, explain, list and manage models; sync and async, typed."""

from nexus_client.client import AsyncClient
from nexus_client.sync import Client
from nexus_client.types import (
    Answer,
    Candidate,
    Count,
    Embeddings,
    Event,
    Explanation,
    Finished,
    Messages,
    Model,
    ModelState,
    Options,
    Picture,
    Progress,
    Reasoning,
    Served,
    Started,
    Text,
    ToolCall,
    Usage,
)

__all__ = [
    "Answer",
    "AsyncClient",
    "Candidate",
    "Client",
    "Count",
    "Embeddings",
    "Event",
    "Explanation",
    "Finished",
    "Messages",
    "Model",
    "ModelState",
    "Options",
    "Picture",
    "Progress",
    "Reasoning",
    "Served",
    "Started",
    "Text",
    "ToolCall",
    "Usage",
]
