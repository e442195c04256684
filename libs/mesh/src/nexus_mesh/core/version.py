"""The version of NEXUS this process runs."""

from importlib.metadata import version

__all__ = ["VERSION"]

VERSION = version("nexus-mesh").partition("+")[0]
"""Without the local label that keeps our distributions apart from others of the same names."""
