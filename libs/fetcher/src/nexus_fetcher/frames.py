"""What goes between the fetcher and its process: orders a line each, answers with a head of fixed length."""

from __future__ import annotations

import struct

__all__ = ["FETCHED", "HEAD", "LONGEST_ORDER", "UNFETCHED"]

HEAD = struct.Struct(">IBHI")
"""The order's number, how it ended, bytes of a text (the media type, or why), bytes of data."""
UNFETCHED, FETCHED = 0, 1
LONGEST_ORDER = 64 << 10
