"""Signs operators' wishes with a node's own key, and tells whose word a value under ``control/`` is.

Signed are the wish's bytes as they stand in the value, together with the cluster and the key they stand under, so a
value copied to another key or cluster is nobody's word. A signer's certificate must come from the cluster's own
authority (``ca.pem``; two of them during a rotation), name one node by ``relay://<cluster>/<node>``, have been valid
when the wish was made, and the node must be on the list in force: taking a node off the list takes back its word.
Sources: operations §5 (threat model, row "etcd reader or writer"; certificates).
"""

from collections.abc import Callable, Collection
from typing import Final, TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from coordinator.peers.identity import SCHEME, Identity
from coordinator.wishes import FORM, BadWish, Wish

T = TypeVar("T")
HEADER: Final = b"relay wish\x00"
CERTIFICATE_MAX: Final = 8 * 1024
RSA_PADDING: Final = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)


class _Signed(msgspec.Struct, frozen=True, kw_only=True):
    """The value as stored. ``form`` first, so that a newer version's value is known as one."""

    form: int
    wish: str
    """JSON of the wish: the bytes that are signed."""
    certificate: str
    """PEM of the signer's certificate alone."""
    signature: bytes


class _Form(msgspec.Struct, frozen=True):
    form: int = 0


def signed_bytes(cluster: str, key: str, wish: bytes) -> bytes:
    """Give what a signature covers; each part with its length, so none can borrow from its neighbour."""
    parts = (cluster.encode(), key.encode(), wish)
    return HEADER + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


class Signer:
    """A node's hand. Holds its private key; says nothing of it."""

    def __init__(self, cluster: str, certificate: bytes, key: bytes) -> None:
        """Take PEM of ``node.pem`` and ``node.key``. Raises ValueError when they are unusable or no pair."""
        try:
            self._certificate = x509.load_pem_x509_certificates(certificate)[0]
            private = load_pem_private_key(key, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ValueError(f"the node's certificate or key cannot be read: {error}") from None
        if not isinstance(private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise ValueError("the node's key is neither EC nor RSA")  # noqa: TRY004 - a file's fault, not a caller's
        if private.public_key() != self._certificate.public_key():
            raise ValueError("the node's key does not belong to its certificate")
        self._cluster, self._private = cluster, private

    def __repr__(self) -> str:
        """Hide the key."""
        return f"Signer({self._cluster!r})"

    def sign(self, key: str, wish: Wish) -> bytes:
        """Give the value to store under ``key``."""
        body = msgspec.json.encode(wish)
        covered = signed_bytes(self._cluster, key, body)
        if isinstance(self._private, ec.EllipticCurvePrivateKey):
            signature = self._private.sign(covered, ec.ECDSA(hashes.SHA256()))
        else:
            signature = self._private.sign(covered, RSA_PADDING, hashes.SHA256())
        return msgspec.json.encode(
            _Signed(
                form=FORM,
                wish=body.decode(),
                certificate=self._certificate.public_bytes(Encoding.PEM).decode(),
                signature=signature,
            )
        )


class Verifier:
    """Tells whose word a value is; ``verify`` is what a ``WishBook`` takes."""

    def __init__(self, cluster: str, ca: bytes, nodes: Callable[[], Collection[str]]) -> None:
        """Take PEM of ``ca.pem`` and the nodes of the list in force, asked at each look. Raises ValueError."""
        self._cluster, self._nodes = cluster, nodes
        self._authorities = tuple(each for each in x509.load_pem_x509_certificates(ca) if _is_authority(each))
        if not self._authorities:
            raise ValueError("no certificate authority in it")

    def verify(self, key: str, value: bytes) -> Wish:
        """Give the wish a value holds. Raises BadWish, which says why it is nobody's word."""
        form = _decoded(value, _Form, "is no wish").form
        if not 1 <= form <= FORM:
            raise BadWish(f"form {form} is a newer version's")
        signed = _decoded(value, _Signed, "is no signed wish")
        body = signed.wish.encode()
        wish = _decoded(body, Wish, "holds no wish this version knows")
        certificate = self._certificate(signed.certificate, wish)
        _check(certificate, signed.signature, signed_bytes(self._cluster, key, body))
        return wish

    def _certificate(self, pem: str, wish: Wish) -> x509.Certificate:
        if len(pem) > CERTIFICATE_MAX:
            raise BadWish("its certificate is too long")
        try:
            certificate = x509.load_pem_x509_certificate(pem.encode())
            names = _names(certificate)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise BadWish(f"its certificate cannot be read: {error}") from None
        if not any(_issued(certificate, authority) for authority in self._authorities):
            raise BadWish("its certificate is not from this cluster's authority")
        if names != [str(Identity(cluster=self._cluster, node=wish.node))]:
            raise BadWish(f"its certificate names {', '.join(names) or 'nobody'}, not node {wish.node!r}")
        if not _valid(certificate, wish.made_ms):
            raise BadWish("its certificate was not valid when it was made")
        if wish.node not in self._nodes():
            raise BadWish(f"node {wish.node!r} is not on the list of nodes in force")
        return certificate


def _decoded(data: bytes, kind: type[T], otherwise: str) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadWish(f"{otherwise}: {error}") from None


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _names(certificate: x509.Certificate) -> list[str]:
    """Give every node a certificate names, by its URI; raises ValueError when its extensions cannot be read."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    uris = found.value.get_values_for_type(x509.UniformResourceIdentifier)
    return [uri for uri in uris if uri.startswith(SCHEME)]


def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _valid(certificate: x509.Certificate, at_ms: int) -> bool:
    """Tell whether it was valid at a moment: a wish outlives the certificate it was signed with."""
    begin_s, end_s = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    return begin_s * 1000 <= at_ms <= end_s * 1000


def _check(certificate: x509.Certificate, signature: bytes, covered: bytes) -> None:
    public = certificate.public_key()
    try:
        if isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(signature, covered, ec.ECDSA(hashes.SHA256()))
        elif isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, covered, RSA_PADDING, hashes.SHA256())
        else:
            raise BadWish("its key is neither EC nor RSA")
    except InvalidSignature:
        raise BadWish("its signature is not of what it says under this key") from None
