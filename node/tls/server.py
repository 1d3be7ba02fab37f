"""TLS for listeners: contexts from certificate files, by name (SNI), reloaded when the files change.

Knows files, versions and names, not mail. Without a configured certificate one is made in memory, signed by itself.
Sources: operations M1 (old devices), M20 (listener certificates), design §5.
"""

import logging
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from node.errors import ConfigurationError
from node.settings.host import Certificate
from node.settings.secrets import read_secret, secret_path
from node.tls.pem import load_pem, no_password, stamp

log = logging.getLogger(__name__)
SELF_SIGNED_DAYS: Final = 825
OLD_CIPHERS: Final = "ALL:!aNULL:!eNULL:@SECLEVEL=0"
"""OpenSSL 3 refuses TLS 1.0 until the security level is 0, whatever the lowest version set (operations M1)."""
WEAK_VERSIONS: Final = frozenset({"TLSv1", "TLSv1.1", "SSLv3"})


class ServerTls:
    """The current context of one listener; ``refresh`` builds a new one when a file changed."""

    def __init__(
        self,
        name: str,
        certificate: Certificate | None,
        *,
        sni: Mapping[str, Certificate] | None = None,
        client_ca: Path | None = None,
        old_versions: bool = False,
        hostname: str = "localhost",
    ) -> None:
        """Read every file. Raises ConfigurationError naming the listener and each file that cannot be used."""
        self._name = name
        self._certificate = certificate
        self._sni = {host.lower(): own for host, own in (sni or {}).items()}
        self._client_ca = client_ca
        self._old_versions = old_versions
        self._hostname = hostname
        self._self_signed = None if certificate else self_signed(hostname)
        if certificate is None:
            log.warning("listener %s has no certificate: using a self-signed one for %s", name, hostname)
        self._stamp = self._stamps()
        self._context = self._build()

    @property
    def context(self) -> ssl.SSLContext:
        """The context for the next handshake."""
        return self._context

    def refresh(self) -> bool:
        """Load changed files; whether a new context is in force. A fault keeps the old one and is logged."""
        found = self._stamps()
        if found == self._stamp:
            return False
        self._stamp = found
        try:
            self._context = self._build()
        except ConfigurationError as error:
            log.error("listener %s keeps its old certificate: %s", self._name, error)  # noqa: TRY400 - no trace wanted
            return False
        return True

    def _files(self) -> list[Path]:
        own = [c for c in (self._certificate, *self._sni.values()) if c is not None]
        files = [certificate.certificate for certificate in own]
        files += [place for certificate in own if (place := secret_path(certificate.key)) is not None]
        return [*files, self._client_ca] if self._client_ca else files

    def _stamps(self) -> tuple[tuple[int, int, int], ...]:
        return tuple(stamp(file) for file in self._files())

    def _build(self) -> ssl.SSLContext:
        faults: list[str] = []
        main = self._load(self._certificate, faults)
        others = {host: self._load(certificate, faults) for host, certificate in self._sni.items()}
        if faults:
            raise ConfigurationError(faults)
        if others:
            main.sni_callback = lambda connection, host, _: _choose(connection, host, others)
        return main

    def _load(self, certificate: Certificate | None, faults: list[str]) -> ssl.SSLContext:
        context = self._bare(faults)
        try:
            if certificate is None:
                if self._self_signed:
                    load_pem(context, *self._self_signed)
            elif (key := secret_path(certificate.key)) is not None:
                context.load_cert_chain(certificate.certificate, key, password=no_password)
            else:
                load_pem(context, certificate.certificate.read_bytes(), read_secret(certificate.key).reveal().encode())
        except (OSError, ssl.SSLError, ValueError, ConfigurationError) as error:
            place = certificate.certificate if certificate else "self-signed"
            faults.append(f"listeners.{self._name}.certificate: cannot use {place} with its key: {error}")
        return context

    def _bare(self, faults: list[str]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_COMPRESSION
        if self._old_versions:
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.options |= ssl.OP_NO_SSLv3
            context.set_ciphers(OLD_CIPHERS)
        else:
            context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._client_ca is not None:
            context.verify_mode = ssl.CERT_OPTIONAL
            try:
                context.load_verify_locations(cafile=str(self._client_ca))
            except (OSError, ssl.SSLError) as error:
                faults.append(f"listeners.{self._name}.client_ca: cannot read {self._client_ca}: {error}")
        return context


def certificate_names(ssl_object: ssl.SSLObject | ssl.SSLSocket | None) -> tuple[str, ...]:
    """Names of the verified client certificate: subject CN, DNS and URI SANs; empty without one."""
    shown = cast("dict[str, Any] | None", ssl_object.getpeercert() if ssl_object is not None else None)
    if not shown:
        return ()
    subject = [part for group in shown.get("subject", ()) for part in group]
    names = [str(value) for key, value in subject if key == "commonName"]
    names += [str(value) for key, value in shown.get("subjectAltName", ()) if key in ("DNS", "URI")]
    return tuple(dict.fromkeys(names))


def self_signed(hostname: str) -> tuple[bytes, bytes]:
    """Make a certificate and key (both PEM) for a host that was given none; RSA, because old devices know no other."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:64])])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(hostname)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private


def _choose(connection: ssl.SSLSocket | ssl.SSLObject, host: str | None, others: dict[str, ssl.SSLContext]) -> None:
    if host and (context := others.get(host.lower())) is not None:
        connection.context = context
