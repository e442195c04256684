"""Files that outlive their request: put into the store of the mesh, read from it, and links to them."""

from nexus_gateway.files.file_store import NO_STORE, FileStore, New, Reading
from nexus_gateway.files.links import LONGEST, Link, no_link

__all__ = ["LONGEST", "NO_STORE", "FileStore", "Link", "New", "Reading", "no_link"]
