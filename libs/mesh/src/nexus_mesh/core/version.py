"""The version of NEXUS this process runs. The distribution takes its own from here, and members add `+mesh`."""

__all__ = ["VERSION"]

VERSION = "0.1.0"
