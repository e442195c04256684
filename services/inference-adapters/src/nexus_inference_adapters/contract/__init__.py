"""What every kind of backend keeps to: the adapter, its waits, its requests over HTTP, its errors."""

from nexus_inference_adapters.contract.adapter import ABILITIES, Adapter, Broken, Need
from nexus_inference_adapters.contract.errors import from_event, malformed, too_large
from nexus_inference_adapters.contract.http import MAX_ANSWER_BYTES, Answer, Http, key_in, open_session
from nexus_inference_adapters.contract.parts import Kept, Parts
from nexus_inference_adapters.contract.waiting import Gate, Patience
from nexus_inference_adapters.contract.work import (
    MEDIA_BYTES,
    Completed,
    Count,
    Event,
    Finish,
    Inspection,
    Json,
    JsonObject,
    Media,
    Offer,
    Progress,
    Seen,
    Text,
    Work,
)

__all__ = [
    "ABILITIES",
    "MAX_ANSWER_BYTES",
    "MEDIA_BYTES",
    "Adapter",
    "Answer",
    "Broken",
    "Completed",
    "Count",
    "Event",
    "Finish",
    "Gate",
    "Http",
    "Inspection",
    "Json",
    "JsonObject",
    "Kept",
    "Media",
    "Need",
    "Offer",
    "Parts",
    "Patience",
    "Progress",
    "Seen",
    "Text",
    "Work",
    "from_event",
    "key_in",
    "malformed",
    "open_session",
    "too_large",
]
