"""Fetches the root certificate a server shows and believes it only when its SHA-256 is the expected one."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import socket
import ssl
from typing import Any

from nexus_mesh.core import MeshError, Reason

__all__ = ["pinned_root"]


async def pinned_root(address: str, sha256: bytes, timeout: float) -> bytes:
    """The root (PEM) with this SHA-256 of its DER, as the server at host:port sends it in its chain.

    Nothing is told to the server, and nothing else it shows is believed. Raises MeshError JOIN_TOKEN, BACKEND_DOWN.
    """
    try:
        chain = await asyncio.to_thread(_shown, address, timeout)
    except (OSError, ValueError):
        raise MeshError(
            Reason.BACKEND_DOWN,
            f"The vault at {address} does not answer: is its mesh running, and can this machine reach it?",
            metadata={"transport": "1"},
        ) from None
    for certificate in chain:
        if hmac.compare_digest(hashlib.sha256(certificate).digest(), sha256):
            return ssl.DER_cert_to_PEM_cert(certificate).encode()
    raise MeshError(
        Reason.JOIN_TOKEN,
        f"Whoever answers at {address} is not the mesh this join token is for. Nothing was told to it.",
    )


def _shown(address: str, timeout: float) -> list[bytes]:
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the pin decides, and the connection carries nothing
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host.strip("[]"), int(port)), timeout) as connection,
        context.wrap_socket(connection) as wrapped,
    ):
        return [_der(certificate) for certificate in _unverified_chain(wrapped)]


def _unverified_chain(connection: Any) -> Any:
    """SSLSocket has this since Python 3.13; before, the object below it has."""
    owner = connection if hasattr(connection, "get_unverified_chain") else connection._sslobj
    return owner.get_unverified_chain()


def _der(certificate: Any) -> bytes:
    """Bytes since Python 3.13; before, an object that gives them."""
    return (
        certificate
        if isinstance(certificate, bytes)
        else ssl.PEM_cert_to_DER_cert(certificate.public_bytes())
    )
