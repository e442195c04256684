"""The version of NEXUS this process runs."""

from importlib.metadata import version

__all__ = ["VERSION"]

VERSION = version("nexus-mesh")
