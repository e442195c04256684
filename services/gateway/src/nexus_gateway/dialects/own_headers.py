"""X-Nexus-*: what a request of any dialect may ask for beside its body, and what an answer says of who gave it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_gateway.core import Priority
from nexus_gateway.http import Exchange, Header
from nexus_gateway.validation import check_priority, check_zone

__all__ = [
    "ASKED",
    "CHAIN",
    "PRIORITY",
    "STRICT",
    "TOLD",
    "ZONE",
    "check_own_headers",
    "demanded_zone",
    "header_value",
    "is_strict",
    "served_headers",
    "wanted_priority",
]

STRICT, ZONE, PRIORITY = b"x-nexus-strict", b"x-nexus-zone", b"x-nexus-priority"
CHAIN = b"x-nexus-chain"
"""Of an answer that several models have made: who has heard, answered and spoken."""
ASKED: Mapping[bytes, str] = {
    ZONE: "The privacy zone the answer must come from. It adds to what key and tenant demand and takes nothing away.",
    PRIORITY: "low = others may go first while places are short.",
    STRICT: "1 = refuse parameters this gateway does not know, rather than hand them on.",
}
"""Request headers."""

OURS = b"x-nexus-"
ROUTE_REASONS = {
    number: name.removeprefix("ROUTE_REASON_").lower().replace("_", "-").encode()
    for name, number in inference_pb2.RouteReason.items()
}
SMALLEST = 1e-8
"""US dollars; what a header tells at least of a cost."""


def check_own_headers(fields: dict[bytes, bytes]) -> None:
    """MeshError INVALID_REQUEST for a header of ours that is none: a demand with a slip in its name is not dropped."""
    for name in fields:
        if name[:1] == b"x" and name.replace(b"_", b"-").startswith(OURS) and name not in ASKED:
            said = name[:64].decode("latin-1")
            raise MeshError(
                Reason.INVALID_REQUEST,
                f"This gateway knows no request header {said}; of its own it knows X-Nexus-Zone, X-Nexus-Priority and "
                "X-Nexus-Strict.",
                metadata={"param": said},
            )


def demanded_zone(exchange: Exchange) -> str | None:
    """The zone of the request's header, None without one. MeshError INVALID_REQUEST.

    Two headers are two demands, perhaps a proxy's and a client's: joined they are no name, so neither is dropped. An
    empty one is a demand too, whose name got lost on the way.
    """
    if ZONE not in exchange.fields:
        return None
    return check_zone(_every(exchange, ZONE) or " ", "X-Nexus-Zone")


def wanted_priority(exchange: Exchange) -> Priority:
    """The priority of the request's header, normal without one. MeshError INVALID_REQUEST, for two headers too."""
    if PRIORITY not in exchange.fields:
        return Priority.NORMAL
    return check_priority(_every(exchange, PRIORITY), "X-Nexus-Priority")


def _every(exchange: Exchange, header: bytes) -> str:
    """All values of a header, joined."""
    given = b",".join(value for name, value in exchange.scope["headers"] if name == header)
    return given.decode("latin-1").strip().lower()


def is_strict(exchange: Exchange) -> bool:
    """Whether parameters this gateway does not know are to be refused."""
    return exchange.fields.get(STRICT) == b"1"


def served_headers(served: inference_pb2.Served) -> list[Header]:
    """X-Nexus-*: who answered, where, and why it was chosen. None while nobody has: it still waits for a place."""
    if not served.backend:
        return []
    return [(told.name, value) for told in TOLD if (value := told.value(served)) is not None]


def _decimal(dollars: float) -> bytes:
    """At most eight decimals, no exponent; what costs anything is never told as nothing."""
    if not dollars:
        return b"0"
    return f"{max(dollars, SMALLEST):.8f}".rstrip("0").rstrip(".").encode()


def header_value(text: str) -> bytes:
    """Names are the backend's own and may be in any script; what a header cannot hold is percent-encoded."""
    if text.isascii() and text.isprintable():
        return text.encode()
    return quote(text, safe=" /:@+=,;()!'").encode()


@dataclass(frozen=True, slots=True)
class Told:
    """One header of an answer. `value` gives None where there is nothing to say."""

    name: bytes
    about: str
    value: Callable[[inference_pb2.Served], bytes | None]


TOLD = (
    Told(b"x-nexus-backend", "The backend that answered.", lambda served: header_value(served.backend)),
    Told(b"x-nexus-backend-type", "Its kind: ollama, vllm, ...", lambda served: header_value(served.kind)),
    Told(b"x-nexus-model", "The model that answered.", lambda served: header_value(served.model)),
    Told(
        b"x-nexus-instance",
        "The adapter it stands behind: node/adapter/name.",
        lambda served: header_value(served.instance),
    ),
    Told(b"x-nexus-privacy-zone", "The zone it is in.", lambda served: header_value(served.zone)),
    Told(
        b"x-nexus-route-reason",
        f"Why it was chosen: {', '.join(sorted(word.decode() for number, word in ROUTE_REASONS.items() if number))}.",
        lambda served: ROUTE_REASONS[served.route_reason],
    ),
    Told(b"x-nexus-attempts", "How many backends were tried.", lambda served: b"%d" % served.attempts),
    Told(
        b"x-nexus-fallback-model",
        "The model that stood in for the one that was asked for.",
        lambda served: header_value(served.fallback_model) if served.fallback_model else None,
    ),
    Told(
        b"x-nexus-dropped-tier",
        "The tier that was wanted, where a lower one has answered.",
        lambda served: header_value(served.dropped_tier) if served.dropped_tier else None,
    ),
    Told(
        b"x-nexus-scrubbed",
        "How many places were replaced before the prompt left its zone.",
        lambda served: b"%d" % served.scrubbed if served.HasField("scrubbed") else None,
    ),
    Told(
        b"x-nexus-cost-estimated",
        "US dollars, by the operator's prices; of a stream an estimate.",
        lambda served: _decimal(served.cost_dollars) if served.HasField("cost_dollars") else None,
    ),
)
"""Headers of answers that somebody gave."""
