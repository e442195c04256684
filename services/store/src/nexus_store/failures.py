"""What a failure of the disk means for those who asked."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from nexus_mesh.core import MeshError, Reason, telemetry

from nexus_store.contents import StorageError

__all__ = ["damaged", "told"]

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

log = telemetry.logger("store")


@contextmanager
def told() -> Iterator[None]:
    """Turns an OSError into STORE_UNAVAILABLE."""
    try:
        yield
    except StorageError as error:
        log.error("the object storage failed", cause=error.why)
        raise MeshError(
            Reason.STORE_UNAVAILABLE,
            f"The store's object storage {error.why}. Nothing of this request was kept, and what was kept before is "
            "not touched: try again once it is well.",
            retry_after=30.0,
        ) from None
    except OSError as error:
        log.error("the disk failed", cause=errno.errorcode.get(error.errno or 0, type(error).__name__))
        why = "is full" if error.errno in FULL else "failed"
        raise MeshError(
            Reason.STORE_UNAVAILABLE,
            f"The store's disk {why}. Nothing of this request was kept, and what was kept before is still there: "
            "make room, then send it again.",
            retry_after=30.0,
        ) from None


def damaged() -> MeshError:
    return MeshError(
        Reason.INTERNAL,
        "The bytes of this file are not those that were kept: the store's storage lost or changed them. "
        "Restore it from a backup, or put the file again.",
    )
