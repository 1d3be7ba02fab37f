"""A throw-away certificate authority and one server certificate signed by it, written as PEM files.

Knows nothing of what the certificates are for. Keys are P-256: the handshake must not be the simulator's bottleneck.
"""

import datetime as dt
import ipaddress
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_DAYS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Where the PEM files lie."""

    ca_file: Path
    certificate_file: Path
    key_file: Path
    clients: Mapping[str, Path] = field(default_factory=dict)
    """PEM files with certificate and key for clients, by name."""

    def server_context(self) -> ssl.SSLContext:
        """Give a server context that takes TLS 1.2 and 1.3 only (facts m365 §6)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate_file, self.key_file)
        return context

    def asking_context(self, *others: Path) -> ssl.SSLContext:
        """Give a server context that asks for a client certificate of this authority or ``others``; none is fine.

        One of any other authority ends the handshake: there is no way to read it without trusting it.
        """
        context = self.server_context()
        context.verify_mode = ssl.CERT_OPTIONAL
        for file in (self.ca_file, *others):
            context.load_verify_locations(file)
        return context


def subjects(files: Iterable[Path]) -> frozenset[str]:
    """Give the names of authorities as a connection writes the issuer of a certificate. Raises OSError, SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for file in files:
        context.load_verify_locations(file)
    return frozenset(repr(dict(one).get("subject", ())) for one in context.get_ca_certs())


def establish(directory: Path, names: tuple[str, ...], now: dt.datetime, clients: tuple[str, ...] = ()) -> Authority:
    """Make an authority and a certificate for ``names`` (DNS or IP): ca.pem, server.pem and server.key.

    Besides one for each of ``clients``: NAME.pem with its key.
    """
    directory.mkdir(parents=True, exist_ok=True)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = _ca_certificate(ca_key, now)
    leaf = _leaf_certificate(ca, ca_key, key, names, now)
    made = Authority(
        ca_file=directory / "ca.pem",
        certificate_file=directory / "server.pem",
        key_file=directory / "server.key",
        clients={name: directory / f"{name.replace('*', '_')}.pem" for name in clients},
    )
    made.ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    made.certificate_file.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    _write_secret(made.key_file, _pem(key))
    for name, file in made.clients.items():
        own = ec.generate_private_key(ec.SECP256R1())
        issued = _leaf_certificate(ca, ca_key, own, (name,), now, use=ExtendedKeyUsageOID.CLIENT_AUTH)
        _write_secret(file, issued.public_bytes(serialization.Encoding.PEM) + _pem(own))
    return made


def _write_secret(file: Path, data: bytes) -> None:
    file.touch(mode=0o600)
    file.write_bytes(data)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _builder(subject: x509.Name, issuer: x509.Name, now: dt.datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=VALID_DAYS))
    )


def _ca_certificate(key: ec.EllipticCurvePrivateKey, now: dt.datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "m365-relay rehearsal CA")])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        _builder(name, name, now)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )


def _leaf_certificate(
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePrivateKey,
    names: tuple[str, ...],
    now: dt.datetime,
    *,
    use: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    return (
        _builder(subject, ca.subject, now)
        .public_key(key.public_key())
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        .add_extension(issuer_id, critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
