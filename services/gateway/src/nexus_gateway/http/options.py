"""What may be set about the edge; plain values, so that tests and `nexus up` build it the same way."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one connection. Sizes in bytes, times in seconds."""

    header_bytes: int = 32 * 1024
    header_fields: int = 100
    url_bytes: int = 8 * 1024
    body_bytes: int = 16 * MIB
    upload_bytes: int = 512 * MIB
    """Of a body with files."""
    spool_bytes: int = 4096 * MIB
    """Of files that are kept on disk on their way, of all requests."""
    head_seconds: float = 10
    body_seconds: float = 30
    """After these a body must have come at `body_rate` on average, or be complete."""
    body_rate: int = 16 * 1024
    keep_alive_seconds: float = 75
    stalled_client_seconds: float = 60
    """How long a client may leave our bytes unread."""
    connections: int = 4096
    address_share: float = 0.25
    """Of the connections, for one address that is not this machine's."""
    bodies_bytes: int = 128 * MIB
    """Of all bodies under way, from before they are read to the end of their requests."""
    tenant_share: float = 0.5
    """Of those, for one tenant."""
    body_wait_seconds: float = 5
    """For room for a body."""
    message_bytes: int = 4 * MIB
    """Of one message on a WebSocket."""


@dataclass(frozen=True, slots=True)
class EdgeOptions:
    """How the edge behaves towards clients."""

    allowed_hosts: tuple[str, ...] | None = None
    """Names the Host header may carry; None = any. Set it to `local_names()` when the edge is open on loopback: a
    web page that rebinds its own name to 127.0.0.1 is then refused."""
    origins: tuple[str, ...] | None = None
    """Web pages that may call, as `Origins` takes them."""
    needs_key: bool = False
    keep_alive_comment_seconds: float = 15
    expose_metrics: bool = True
    spool: Path | None = None
    """Where files are kept on their way; None = where temporary files are."""
    limits: Limits = field(default_factory=Limits)
