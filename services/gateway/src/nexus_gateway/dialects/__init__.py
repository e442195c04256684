"""What clients speak: the URLs of each dialect, what its requests mean, and how it is answered."""

from nexus_gateway.dialects.dialect import Dialect
from nexus_gateway.dialects.errors import error_body, unknown_url
from nexus_gateway.dialects.nexus import NexusPipeline, nexus_dialect, openapi_row
from nexus_gateway.dialects.openai import OpenAIPipeline, openai_dialect
from nexus_gateway.dialects.realtime import (
    REALTIME,
    Caller,
    RealtimePipeline,
    RealtimeSessions,
    Wire,
    realtime_dialect,
)

__all__ = [
    "REALTIME",
    "Caller",
    "Dialect",
    "NexusPipeline",
    "OpenAIPipeline",
    "RealtimePipeline",
    "RealtimeSessions",
    "Wire",
    "error_body",
    "nexus_dialect",
    "openai_dialect",
    "openapi_row",
    "realtime_dialect",
    "unknown_url",
]
