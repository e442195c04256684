"""P-01: what the CA signs, and what it refuses to."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.identity.roles import ROLES
from nexus_mesh.identity.spiffe import SpiffeId
from nexus_mesh.identity.tls import certificate_request, new_key
from nexus_vault.ca.authorities import new_issuing, new_root
from nexus_vault.ca.issue import IssuingAuthority
from support.vault import TurnableClock, spiffe

HOUR = datetime.timedelta(hours=1)
SKEW = datetime.timedelta(seconds=30)


@pytest.fixture
def clock() -> TurnableClock:
    return TurnableClock()


@pytest.fixture
def authority(clock: TurnableClock) -> IssuingAuthority:
    root = new_root("nexus.internal", clock())
    issuing = new_issuing(root, "nexus.internal", clock())
    return IssuingAuthority("nexus.internal", [root.certificate], issuing, 24 * HOUR, clock)


def _leaf(authority: IssuingAuthority, owner: SpiffeId, request: bytes | None = None) -> x509.Certificate:
    issued = authority.issue(owner, request or certificate_request(new_key()))
    return x509.load_pem_x509_certificate(issued.chain_pem)


def _names(leaf: x509.Certificate) -> x509.SubjectAlternativeName:
    return leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


@pytest.mark.parametrize("role", ROLES)
def test_a_leaf_names_one_identity(authority: IssuingAuthority, role: str) -> None:
    owner = spiffe(role, "one")
    names = _names(_leaf(authority, owner))
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [str(owner)]
    shared = [] if role in ("adapter", "operator", "client") else [f"{role}.nexus.internal"]
    local = ["localhost"] if role == "etcd" else []
    assert names.get_values_for_type(x509.DNSName) == [owner.server_name, *shared, *local]
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    assert addresses == (["127.0.0.1", "::1"] if role == "etcd" else [])


def test_a_leaf_serves_and_calls_and_signs_nothing(authority: IssuingAuthority) -> None:
    extensions = _leaf(authority, spiffe("router")).extensions
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == {
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    }


def test_what_a_request_asks_for_is_ignored(authority: IssuingAuthority) -> None:
    greedy = [x509.UniformResourceIdentifier(str(spiffe("operator"))), x509.DNSName("vault.nexus.internal")]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name.from_rfc4514_string("CN=vault"))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=3), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName(greedy), critical=False)
    request = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(
        Encoding.DER
    )
    leaf, owner = _leaf(authority, spiffe("adapter"), request), spiffe("adapter")
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert _names(leaf).get_values_for_type(x509.UniformResourceIdentifier) == [str(owner)]
    assert _names(leaf).get_values_for_type(x509.DNSName) == [owner.server_name]
    assert leaf.subject.rfc4514_string() == "CN=main"


def test_life_begins_early_and_ends_in_time(authority: IssuingAuthority, clock: TurnableClock) -> None:
    leaf = _leaf(authority, spiffe("gateway"))
    now = clock().replace(microsecond=0)
    assert (leaf.not_valid_before_utc, leaf.not_valid_after_utc) == (now - SKEW, now + 24 * HOUR)


def test_a_life_of_seconds_is_possible(authority: IssuingAuthority, clock: TurnableClock) -> None:
    ten = datetime.timedelta(seconds=10)
    issued = authority.issue(spiffe("gateway"), certificate_request(new_key()), ten)
    assert issued.expires_at == clock().replace(microsecond=0) + ten


@pytest.mark.parametrize("ttl", [25 * HOUR, datetime.timedelta(0), -HOUR], ids=str)
def test_other_lives_are_refused(authority: IssuingAuthority, ttl: datetime.timedelta) -> None:
    with pytest.raises(MeshError) as refusal:
        authority.issue(spiffe("gateway"), certificate_request(new_key()), ttl)
    assert refusal.value.reason is Reason.INVALID_REQUEST


def test_a_foreign_trust_domain_is_refused(authority: IssuingAuthority) -> None:
    foreign = SpiffeId("other.internal", "default", "box", "gateway", "main")
    with pytest.raises(MeshError) as refusal:
        authority.issue(foreign, certificate_request(new_key()))
    assert refusal.value.reason is Reason.INVALID_REQUEST


def test_a_leaf_never_outlives_its_issuer(authority: IssuingAuthority, clock: TurnableClock) -> None:
    clock.turn(days=364, hours=20)
    assert (
        _leaf(authority, spiffe("gateway")).not_valid_after_utc
        == authority.issuing.certificate.not_valid_after_utc
    )


def test_serials_differ(authority: IssuingAuthority) -> None:
    assert len({_leaf(authority, spiffe("gateway")).serial_number for _ in range(50)}) == 50


def test_the_ca_certificates_are_limited(authority: IssuingAuthority) -> None:
    issuing = authority.issuing.certificate
    assert issuing.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    assert issuing.not_valid_after_utc - issuing.not_valid_before_utc <= datetime.timedelta(days=366)
    (root,) = authority.roots
    assert datetime.timedelta(days=3650) < root.not_valid_after_utc - root.not_valid_before_utc


def test_openssl_agrees(authority: IssuingAuthority, tmp_path: Path) -> None:
    issued = authority.issue(spiffe("etcd"), certificate_request(new_key()))
    (tmp_path / "bundle.pem").write_bytes(issued.bundle_pem)
    (tmp_path / "chain.pem").write_bytes(issued.chain_pem)
    command = [
        "openssl",
        "verify",
        "-x509_strict",
        "-verify_hostname",
        "etcd.nexus.internal",
        "-purpose",
        "sslserver",
    ]
    files = ["-CAfile", "bundle.pem", "-untrusted", "chain.pem", "chain.pem"]
    verdict = subprocess.run([*command, *files], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (verdict.returncode, verdict.stdout) == (0, "chain.pem: OK\n"), verdict.stderr
