"""What every kind of backend keeps to: the adapter, its waits, its requests over HTTP, its errors."""

from nexus_inference_adapters.contract.adapter import (
    ABILITIES,
    Adapter,
    Completed,
    Count,
    Event,
    Finish,
    Inspection,
    Need,
    Offer,
    Progress,
    Work,
)
from nexus_inference_adapters.contract.errors import from_event, malformed
from nexus_inference_adapters.contract.estimate import estimate, tokens_of
from nexus_inference_adapters.contract.http import (
    MAX_ANSWER_BYTES,
    Answer,
    Http,
    Seen,
    open_session,
    too_large,
)
from nexus_inference_adapters.contract.learned import Broken
from nexus_inference_adapters.contract.patience import Patience

__all__ = [
    "ABILITIES",
    "MAX_ANSWER_BYTES",
    "Adapter",
    "Answer",
    "Broken",
    "Completed",
    "Count",
    "Event",
    "Finish",
    "Http",
    "Inspection",
    "Need",
    "Offer",
    "Patience",
    "Progress",
    "Seen",
    "Work",
    "estimate",
    "from_event",
    "malformed",
    "open_session",
    "tokens_of",
    "too_large",
]
