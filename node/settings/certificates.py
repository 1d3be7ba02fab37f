"""Looks into certificate files: readable, matching their key, not run out. The room's only user of cryptography."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SOON = timedelta(days=21)
"""Renewal of a 200-day certificate is due well before."""
Finding = tuple[str, str]
"""A fault and a warning; one of them is empty."""


def certificate_findings(pem: str, *, now: datetime) -> list[Finding]:
    """Judge the certificates of a PEM text at the moment *now* (aware)."""
    chain = _chain(pem)
    return [finding for one in chain for finding in _validity(one, now)] if chain else [_NO_CERTIFICATE]


def pair_findings(pem: str, key_pem: str, *, now: datetime) -> list[Finding]:
    """Judge a certificate (the first of *pem*) and the private key it needs."""
    chain = _chain(pem)
    if not chain:
        return [_NO_CERTIFICATE]
    try:
        key = load_pem_private_key(key_pem.encode(), password=None)
    except TypeError:
        return [("the private key is locked by a password", "")]
    except (ValueError, UnsupportedAlgorithm):
        return [("no usable private key (PEM) found", "")]
    findings = [finding for one in chain[:1] for finding in _validity(one, now)]
    if _bytes(chain[0].public_key()) != _bytes(key.public_key()):
        findings.append(("the private key belongs to another certificate", ""))
    return findings


def client_findings(pem: str, domains: Sequence[str]) -> list[str]:
    """Doubts about a certificate that is to match an inbound connector (facts/m365.md §1.1, operations §6 F2, F3)."""
    chain = _chain(pem)
    if not chain:
        return []
    one, found = chain[0], []
    names = _names(one)
    if not any(_below(name, domain) for name in names for domain in domains):
        found.append(f"bears {', '.join(names) or 'no name'}, none of the tenant's domains: no connector will match it")
    if one.subject == one.issuer:
        found.append("is signed by itself; Exchange Online wants one of a public authority")
    if ExtendedKeyUsageOID.CLIENT_AUTH not in _uses(one):
        found.append("is not for client authentication; whether Exchange Online insists on it is not known")
    return found


_NO_CERTIFICATE: Finding = ("no readable certificate (PEM) found", "")


def _chain(pem: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return []


def _names(one: x509.Certificate) -> list[str]:
    """Give common name and DNS names, in small letters."""
    names = [str(part.value) for part in one.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    with suppress(x509.ExtensionNotFound, ValueError):
        names += one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
            x509.DNSName
        )
    return list(dict.fromkeys(name.lower() for name in names))


def _uses(one: x509.Certificate) -> list[x509.ObjectIdentifier]:
    """Give the extended uses; a certificate that names none may be used for all."""
    try:
        return list(one.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except (x509.ExtensionNotFound, ValueError):
        return [ExtendedKeyUsageOID.CLIENT_AUTH]


def _below(name: str, domain: str) -> bool:
    bare = name.removeprefix("*.")
    return bare == domain.removeprefix("*.") or bare.endswith("." + domain.removeprefix("*."))


def _validity(one: x509.Certificate, now: datetime) -> list[Finding]:
    name = one.subject.rfc4514_string()[:80] or "certificate"
    end = one.not_valid_after_utc
    if end < now:
        return [("", f"{name}: ran out on {end:%Y-%m-%d}")]
    if one.not_valid_before_utc > now:
        return [("", f"{name}: is not valid before {one.not_valid_before_utc:%Y-%m-%d}")]
    return [("", f"{name}: runs out on {end:%Y-%m-%d}")] if end < now + SOON else []


def _bytes(key: CertificatePublicKeyTypes | object) -> bytes:
    export = getattr(key, "public_bytes", None)
    return export(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) if export else b""
