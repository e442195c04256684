"""What an identity may say of itself: in its certificate by the vault's word, enforced by registries and gateways."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from fnmatch import fnmatchcase

from cryptography import x509

from nexus_mesh.identity.spiffe import LABEL

__all__ = ["OID", "UNLIMITED", "Claims", "in_certificate"]

OID = x509.ObjectIdentifier("2.25.155991843242413279661981464545918790620")
"""Of our own (a random UUID): a UTF8String with JSON."""
MAX_MODELS = 32
MAX_PATTERN = 128
MAX_PRIORITY = 1_000_000
UTF8_STRING = 0x0C


@dataclass(frozen=True, slots=True)
class Claims:
    """`models`: patterns (*, ?) of what it may offer, and of a client what it may ask; none = anything.

    `priority_floor`: best place it may claim. `tenant`: name of whom a client's requests belong to, `tenant_id` the
    same for ever, whoever is given the name later; empty = it is no client.
    """

    models: tuple[str, ...] = ()
    priority_floor: int = 0
    tenant: str = ""
    tenant_id: str = ""

    def __post_init__(self) -> None:
        if len(self.models) > MAX_MODELS:
            raise ValueError(f"at most {MAX_MODELS} models can be named")
        for pattern in self.models:
            if not 0 < len(pattern) <= MAX_PATTERN or not pattern.isprintable():
                raise ValueError(f"a model's pattern has 1 to {MAX_PATTERN} printable characters")
        if not 0 <= self.priority_floor <= MAX_PRIORITY:
            raise ValueError(f"a priority is 0 to {MAX_PRIORITY}")
        for name in (self.tenant, self.tenant_id):
            if name and not LABEL.fullmatch(name):
                raise ValueError("a tenant has 1 to 63 of a-z, 0-9 and -")

    def allow_model(self, model: str) -> bool:
        return not self.models or any(fnmatchcase(model, pattern) for pattern in self.models)

    def to_json(self) -> str:
        """Empty when nothing is limited."""
        told = {**dataclasses.asdict(self), "models": list(self.models)}
        return json.dumps({name: value for name, value in told.items() if value}) if self != UNLIMITED else ""

    @classmethod
    def from_json(cls, text: str) -> Claims:
        """Raises ValueError."""
        if not text:
            return UNLIMITED
        told = json.loads(text)
        try:
            return cls(
                tuple(map(str, told.get("models", ()))),
                int(told.get("priority_floor", 0)),
                str(told.get("tenant", "")),
                str(told.get("tenant_id", "")),
            )
        except (TypeError, AttributeError):
            raise ValueError("not the claims of an identity") from None

    def extension(self) -> x509.UnrecognizedExtension:
        """As it stands in a certificate."""
        text = self.to_json().encode()
        return x509.UnrecognizedExtension(OID, bytes([UTF8_STRING]) + _length(len(text)) + text)


UNLIMITED = Claims()


def in_certificate(certificate: x509.Certificate) -> Claims:
    """The claims a certificate carries. Raises ValueError when they cannot be read: then nothing may be believed."""
    try:
        found = certificate.extensions.get_extension_for_oid(OID).value
    except x509.ExtensionNotFound:
        return UNLIMITED
    assert isinstance(found, x509.UnrecognizedExtension)  # noqa: S101 - the library knows no such extension
    start = 2 + (found.value[1] & 0x7F if found.value[1] & 0x80 else 0)
    return Claims.from_json(found.value[start:].decode())


def _length(count: int) -> bytes:
    """DER's length field."""
    if count < 0x80:
        return bytes([count])
    octets = count.to_bytes((count.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(octets)]) + octets
