"""Fetches what strangers name by URL: in a limited process, from public addresses only, within bounds."""

from nexus_fetcher.fetcher import Fetcher
from nexus_fetcher.types import AT_ONCE, LARGEST, SECONDS, Fetched, Rules, Unfetched

__all__ = ["AT_ONCE", "LARGEST", "SECONDS", "Fetched", "Fetcher", "Rules", "Unfetched"]
