"""A cluster's authority and nodes' hands, for tests of wishes; keys are made once a run."""

from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from coordinator.peers.identity import Identity
from coordinator.signing import Signer, Verifier
from coordinator.wishes import Kind, Wish

CLUSTER = "corp"


def identity(cluster: str, node: str) -> str:
    return str(Identity(cluster=cluster, node=node))


NODES = ("node-a", "node-b", "node-c")
NOW_MS = int(datetime.now(UTC).timestamp() * 1000)


def wish(kind: Kind = Kind.PAUSE, **changes) -> Wish:
    fields = {
        "kind": kind,
        "what": "" if kind is Kind.PAUSE else "thing",
        "to": "node-b" if kind is Kind.MOVE else "",
        "actor": "alice",
        "reason": "storage work",
        "node": "node-a",
        "sequence": 1,
        "made_ms": NOW_MS,
        "until_ms": NOW_MS + 60_000 if kind in (Kind.PAUSE, Kind.MOVE) else 0,
    }
    return Wish(**{**fields, **changes})


@cache
def authority(name: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    return _certificate(name, key.public_key(), name, key, ca=True), key


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def leaf(uri: str | None, *, ca="corp", kind="ec", ca_true=False, begin_days=-1, end_days=90) -> tuple[bytes, bytes]:
    """PEM of a certificate and its key."""
    key = _key(kind)
    root, root_key = authority(ca)
    issuer = root.subject.rfc4514_string().removeprefix("CN=")
    made = _certificate(
        "node", key.public_key(), issuer, root_key, ca=ca_true, uri=uri, begin_days=begin_days, end_days=end_days
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem(made), private


@cache
def _key(kind: str):
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def signer(node: str = "node-a", kind: str = "ec") -> Signer:
    certificate, key = leaf(identity(CLUSTER, node), kind=kind)
    return Signer(CLUSTER, certificate, key)


def verifier(*nodes: str, cluster: str = CLUSTER, ca: str = "corp") -> Verifier:
    return Verifier(cluster, pem(authority(ca)[0]), lambda: nodes or NODES)


def _certificate(name, public, issuer, signing, *, ca=False, uri=None, begin_days=-1, end_days=90):
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=begin_days))
        .not_valid_after(now + timedelta(days=end_days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if uri:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False
        )
    return builder.sign(signing, hashes.SHA256())
