"""Authorities and certificates made on the spot, for TLS and for signing tokens."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

__all__ = ["Certificate", "an_authority", "signed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate and its key; `write` puts both on disk."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def write(self, certificate: Path, key: Path) -> None:
        certificate.write_bytes(self.pem)
        key.write_bytes(self.key_pem)


def an_authority(name: str = "Test Authority") -> Certificate:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    made = _builder(name, name, key).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    return Certificate(certificate=made.sign(key, hashes.SHA256()), key=key)


def signed(
    authority: Certificate, *, names: tuple[str, ...] = ("127.0.0.1",), expired: bool = False
) -> Certificate:
    """A certificate for these names and addresses."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    issuer = authority.certificate.subject.rfc4514_string().removeprefix("CN=")
    made = _builder(names[0], issuer, key, expired=expired).add_extension(
        x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False
    )
    return Certificate(certificate=made.sign(authority.key, hashes.SHA256()), key=key)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    name: str, issuer: str, key: rsa.RSAPrivateKey, *, expired: bool = False
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * day)
        .not_valid_after(now - day if expired else now + day)
    )
