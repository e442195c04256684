"""Keeps a folder supplied with an operator identity, for who runs the mesh on this machine."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from nexus_mesh.core import private_folder, telemetry, write_private
from nexus_mesh.identity import SpiffeId, tls

from nexus_vault.ca.authorities import SKEW
from nexus_vault.ca.issue import IssuingAuthority
from nexus_vault.clock import Clock, utc_now

__all__ = ["OperatorIdentity"]

KEY, CHAIN, BUNDLE = "key.pem", "chain.pem", "bundle.pem"

log = telemetry.logger("vault")


class OperatorIdentity:
    """key.pem, chain.pem and bundle.pem in one folder.

    The key is made once and only the chain replaced, by one rename: a reader never meets a mix.
    """

    def __init__(
        self, folder: Path, authority: IssuingAuthority, spiffe: SpiffeId, clock: Clock = utc_now
    ) -> None:
        self._folder = folder
        self._authority = authority
        self._spiffe = spiffe
        self._clock = clock

    def refresh(self) -> None:
        """Issues a certificate unless there is one in the first half of its life. Blocks. Raises OSError."""
        private_folder(self._folder)
        if self._is_fresh():
            return
        key = self._key()
        issued = self._authority.issue(self._spiffe, tls.certificate_request(key))
        write_private(self._folder / BUNDLE, issued.bundle_pem)
        write_private(self._folder / CHAIN, issued.chain_pem)
        log.info("operator identity issued", folder=str(self._folder), expires=issued.expires_at.isoformat())

    def _is_fresh(self) -> bool:
        stored = tls.load(self._folder)
        if stored is None or stored.bundle_pem != self._authority.bundle_pem:
            return False
        leaf = stored.leaf()
        life = leaf.not_valid_after_utc - leaf.not_valid_before_utc - SKEW
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return (
            self._clock() < leaf.not_valid_after_utc - life / 2
            and names.get_values_for_type(x509.UniformResourceIdentifier) == [str(self._spiffe)]
            and self._spiffe.server_name in names.get_values_for_type(x509.DNSName)
            and _public_key(stored.key_pem) == leaf.public_key()
        )

    def _key(self) -> bytes:
        path = self._folder / KEY
        if not path.exists() or _public_key(path.read_bytes()) is None:
            write_private(path, tls.new_key())
        return path.read_bytes()


def _public_key(key_pem: bytes) -> object | None:
    """None when the file does not hold a private key."""
    try:
        return serialization.load_pem_private_key(key_pem, None).public_key()
    except (ValueError, TypeError):
        return None
