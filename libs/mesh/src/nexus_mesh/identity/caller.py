"""Who is calling: read from the verified peer certificate, once per certificate, never from a message."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from cryptography import x509

from nexus_mesh.core import MeshError, Reason
from nexus_mesh.identity.claims import UNLIMITED, Claims, in_certificate
from nexus_mesh.identity.spiffe import SpiffeId

__all__ = ["Caller", "caller", "identify"]


@dataclass(frozen=True, slots=True)
class Caller:
    """A peer with a valid certificate."""

    spiffe: SpiffeId
    expires_at: datetime.datetime
    expires_timestamp: float
    serial: str
    claims: Claims = UNLIMITED


CALLER: ContextVar[Caller] = ContextVar("caller")


class Verified(Protocol):
    """A call whose peer has shown what it is."""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]: ...


def caller() -> Caller:
    """The caller of the RPC being handled. Raises LookupError outside a handler."""
    return CALLER.get()


def identify(context: Verified) -> Caller:
    """The peer of a call. Raises MESH_IDENTITY unless its certificate names exactly one identity of the mesh."""
    for pem in context.auth_context().get("x509_pem_cert", ()):
        return _from_certificate(pem)
    raise MeshError(Reason.MESH_IDENTITY, "This port needs a client certificate of the mesh.")


@lru_cache(maxsize=4096)
def _from_certificate(pem: bytes) -> Caller:
    certificate = x509.load_pem_x509_certificate(pem)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        (uri,) = uris
        spiffe = SpiffeId.parse(uri)
        claims = in_certificate(certificate)
    except (x509.ExtensionNotFound, ValueError):
        raise MeshError(
            Reason.MESH_IDENTITY,
            "The certificate must name exactly one identity of this mesh (one SPIFFE URI) and no claims but ours.",
        ) from None
    expires = certificate.not_valid_after_utc
    return Caller(spiffe, expires, expires.timestamp(), format(certificate.serial_number, "x"), claims)
