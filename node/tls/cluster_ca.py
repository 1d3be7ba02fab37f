"""A cluster's own certificate authority: makes it, and the certificate of each node (operations §5, Peers).

For a cluster that has no authority at hand, and for the demonstration. EC P-256 keys; a node's certificate names it by
``relay://<cluster>/<node>``, is good for both ends of a connection and lives 90 days. Reads and writes files, in the
form of ``cluster.pki``: ``ca.pem``, ``node.pem``, ``node.key``.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from node.errors import ConfigurationError

AUTHORITY_DAYS: Final = 3650
NODE_DAYS: Final = 90
SKEW: Final = timedelta(hours=1)
"""Certificates begin a little in the past: clocks differ."""


class ClusterAuthority:
    """One authority of one cluster."""

    def __init__(self, cluster: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        """Take what ``create`` or ``read`` made."""
        self.cluster, self._key, self._certificate = cluster, key, certificate

    def __repr__(self) -> str:
        """Hide the key."""
        return f"ClusterAuthority({self.cluster!r})"

    @classmethod
    def create(cls, cluster: str) -> Self:
        """Make a new authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(f"{cluster} cluster authority")
        certificate = (
            _builder(name, name, key.public_key(), AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_signing_only(), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(cluster, key, certificate)

    @classmethod
    def read(cls, directory: Path, cluster: str) -> Self:
        """Read ``ca.key`` and ``ca.pem`` as ``keep`` wrote them. Raises ConfigurationError naming what is wrong."""
        try:
            key = load_pem_private_key((directory / "ca.key").read_bytes(), password=None)
            certificate = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
        except (OSError, ValueError, TypeError) as error:
            raise ConfigurationError([f"{directory}: the authority cannot be read: {error}"]) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise ConfigurationError([f"{directory}: ca.key is not the key of ca.pem"])
        if certificate.subject != _name(f"{cluster} cluster authority"):
            raise ConfigurationError([f"{directory}: ca.pem is not of cluster {cluster}"])
        return cls(cluster, key, certificate)

    @property
    def pem(self) -> bytes:
        """The certificate: what every node trusts."""
        return self._certificate.public_bytes(Encoding.PEM)

    def keep(self, directory: Path) -> None:
        """Write ``ca.key`` (for its owner only) and ``ca.pem``."""
        write_private(directory / "ca.key", _private(self._key))
        write_private(directory / "ca.pem", self.pem)

    def issue(self, node: str, *, addresses: Sequence[str], names: Sequence[str] = ()) -> tuple[bytes, bytes]:
        """Make a node's certificate and key (PEM): its identity, name and addresses; both uses."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName(
            [
                x509.UniformResourceIdentifier(f"relay://{self.cluster}/{node}"),
                *(x509.DNSName(name) for name in dict.fromkeys((node, *names))),
                *(x509.IPAddress(ip_address(address)) for address in addresses),
            ]
        )
        both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        certificate = (
            _builder(_name(node), self._certificate.subject, key.public_key(), NODE_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(alternatives, critical=False)
            .add_extension(both, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(Encoding.PEM), _private(key)

    def write(self, directory: Path, node: str, *, addresses: Sequence[str], names: Sequence[str] = ()) -> None:
        """Write the files of a node's ``cluster.pki``; until all fit, running processes keep the old ones."""
        certificate, key = self.issue(node, addresses=addresses, names=names)
        write_private(directory / "ca.pem", self.pem)
        write_private(directory / "node.key", key)
        write_private(directory / "node.pem", certificate)


def write_private(path: Path, data: bytes) -> None:
    """Put a file in place at once, readable by its owner alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    fresh.replace(path)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _signing_only() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
