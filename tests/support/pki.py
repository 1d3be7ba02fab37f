"""A cluster's own authority and its nodes' certificates, as files in the form of the pki directory."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)
LOOPBACK = ("127.0.0.1", "::1")


def name_of(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


@dataclass
class ClusterAuthority:
    """One authority of one cluster; make two for a rotation."""

    cluster: str = "corp-mail"
    label: str = "cluster authority"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    certificate: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        name, public = name_of(f"{self.cluster} {self.label}"), self.key.public_key()
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        self.certificate = (
            self._builder(name, public, datetime.now(UTC) + 3650 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self.key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def issue(
        self,
        node: str,
        *,
        cluster: str | None = None,
        addresses: Sequence[str] = LOOPBACK,
        names: Sequence[str] = ("localhost",),
        uris: Sequence[str] | None = None,
        ends: datetime | None = None,
    ) -> tuple[bytes, bytes]:
        """Certificate and key (PEM) of a node: both uses, its URI, names and addresses, its name as CN."""
        key = ec.generate_private_key(ec.SECP256R1())
        own = [f"relay://{cluster or self.cluster}/{node}"] if uris is None else uris
        alternatives = x509.SubjectAlternativeName(
            [
                *(x509.UniformResourceIdentifier(uri) for uri in own),
                *(x509.DNSName(name) for name in (node, *names)),
                *(x509.IPAddress(ip_address(address)) for address in addresses),
            ]
        )
        both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        certificate = (
            self._builder(name_of(node), key.public_key(), ends or datetime.now(UTC) + 90 * DAY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(alternatives, critical=False)
            .add_extension(both, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return certificate.public_bytes(Encoding.PEM), secret

    def write(self, directory: Path, node: str, *, trusted: Sequence["ClusterAuthority"] = (), **issue) -> Path:
        """Write ``ca.pem``, ``node.pem`` and ``node.key`` for a node; ``trusted``: its authorities."""
        directory.mkdir(parents=True, exist_ok=True)
        certificate, key = self.issue(node, **issue)
        replace(directory / "ca.pem", b"".join(one.pem for one in trusted or (self,)))
        replace(directory / "node.pem", certificate)
        replace(directory / "node.key", key)
        return directory

    def _builder(self, subject, public, ends: datetime) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(name_of(f"{self.cluster} {self.label}"))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(ends, datetime.now(UTC)) - DAY)
            .not_valid_after(ends)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        )


def replace(path: Path, data: bytes) -> None:
    """Put a file in place at once, readable by its owner alone, as whoever rotates certificates should."""
    fresh = path.with_suffix(path.suffix + ".new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(data)
    fresh.replace(path)
