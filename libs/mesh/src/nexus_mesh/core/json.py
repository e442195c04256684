"""Parsed JSON of somebody else's."""

from __future__ import annotations

from typing import Any, TypeAlias

__all__ = ["JsonArray", "JsonObject"]

JsonArray: TypeAlias = list[Any]
JsonObject: TypeAlias = dict[str, Any]
"""Whose values are whatever was sent: what they are is checked where they are read."""
