"""The directory with this host's place in the cluster: ``ca.pem``, ``node.pem``, ``node.key`` (operations §5).

``ca.pem`` may hold several authorities, so that they can be changed one after the other. Whoever uses the files asks
``stamp`` whether they changed and takes the new ones for new connections.
"""

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from coordinator.errors import CoordinatorError
from coordinator.peers.identity import Identity, NotAPeer, expect

FILE_BYTES_MAX: Final = 256 << 10
"""A chain with its key stays below 64 KiB."""
_NAMES: Final = ("ca.pem", "node.pem", "node.key")
Stamp = tuple[tuple[int, int, int], ...]
"""Inode, size and time of change of each file."""


class PkiUnusable(CoordinatorError):  # noqa: N818 - a state of affairs
    """A file of the directory is missing, cannot be read or does not fit the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pem:
    """The three files' content."""

    ca: bytes
    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        """Hide the key."""
        return "Pem(…)"


@dataclass(frozen=True, slots=True)
class Pki:
    """The directory."""

    directory: Path

    @property
    def ca(self) -> Path:
        """The authorities trusted, and no others."""
        return self.directory / _NAMES[0]

    @property
    def certificate(self) -> Path:
        """The certificate of this node."""
        return self.directory / _NAMES[1]

    @property
    def key(self) -> Path:
        """Its private key."""
        return self.directory / _NAMES[2]

    def stamp(self) -> Stamp:
        """Tell what changes whenever a file is changed or replaced. Raises PkiUnusable when one is not there."""
        directory = str(self.directory)
        try:  # asked at every question between nodes: making a Path costs more than looking
            found = [os.stat(f"{directory}/{name}") for name in _NAMES]  # noqa: PTH116
        except OSError as error:
            raise PkiUnusable(f"{error.filename}: {error.strerror}") from None
        return tuple((each.st_ino, each.st_size, each.st_mtime_ns) for each in found)

    def read(self) -> Pem:
        """Read the files. Raises PkiUnusable naming the one that cannot be read."""
        return Pem(ca=_read(self.ca), certificate=_read(self.certificate), key=_read(self.key))

    def check(self, cluster: str, node: str | None) -> None:
        """Check that the files fit each other and name this node of this cluster. Raises PkiUnusable.

        *node* None: who this is, is not known; only the files are looked at.
        """
        self.context(ssl.PROTOCOL_TLS_SERVER)
        if node is None:
            return
        wanted, uris = Identity(cluster=cluster, node=node), _uris(self.read().certificate)
        try:
            expect({"subjectAltName": tuple(("URI", uri) for uri in uris)}, wanted, who=str(self.certificate))
        except NotAPeer as error:
            raise PkiUnusable(str(error)) from None

    def context(self, protocol: ssl._SSLMethod) -> ssl.SSLContext:
        """Make a context that trusts these authorities alone and demands a certificate; names are not checked.

        Raises PkiUnusable when a file is missing, is no PEM, or the key is locked or another certificate's.
        """
        context = ssl.SSLContext(protocol)
        context.check_hostname = False  # between peers the URI is checked instead: a name in DNS proves nothing
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(self.ca)
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except (OSError, ValueError) as error:
            raise PkiUnusable(f"{self.directory}: {_said(error)}") from None
        return context


def _uris(pem: bytes) -> list[str]:
    """Give the URIs of the first certificate, which is the node's own."""
    try:
        names = x509.load_pem_x509_certificates(pem)[0].extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return names.value.get_values_for_type(x509.UniformResourceIdentifier)
    except (ValueError, UnsupportedAlgorithm, x509.ExtensionNotFound):
        return []


def _no_password() -> str:
    """Refuse a locked key: OpenSSL would ask for its password on the terminal."""
    raise ValueError("the private key is locked by a password")


def _said(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"the certificates are not usable or no pair ({error.reason or 'not PEM'})"
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise PkiUnusable(f"{path}: {error.strerror or 'cannot be read'}") from None
    if len(data) > FILE_BYTES_MAX:
        raise PkiUnusable(f"{path}: larger than {FILE_BYTES_MAX >> 10} KiB")
    return data
