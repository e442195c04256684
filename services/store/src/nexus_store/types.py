"""What is kept. Times are seconds since 1970."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits", "NewObject", "Object", "Usage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewObject:
    """What a file is, before its bytes are known."""

    tenant: str
    purpose: str
    filename: str = ""
    mime_type: str = "application/octet-stream"
    expire_time: float | None = None
    size: int | None = None
    """Bytes, as its sender announces them."""
    key: str = ""
    """Its sender's own name for it, to send it again by; "" = none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """A file that is kept."""

    id: str
    tenant: str
    purpose: str
    filename: str
    mime_type: str
    size: int
    sha256: bytes
    create_time: float
    expire_time: float | None


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one tenant."""

    objects: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of each tenant; 0 = none."""

    object_bytes: int
    bytes: int = 0
    objects: int = 0
    retention: float = 0.0
    """Seconds."""
