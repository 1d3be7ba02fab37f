"""Who a certificate says it is: ``relay://<cluster>/<node>`` as its only URI of that kind (operations §5). Pure."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

SCHEME: Final = "relay://"
_FORM = re.compile(r"relay://([a-z0-9][a-z0-9-]{0,62})/([A-Za-z0-9][A-Za-z0-9._-]{0,62})", re.ASCII)
_SHOWN_MAX: Final = 150


class NotAPeer(ValueError):  # noqa: N818 - a state of affairs
    """The certificate names no node, several, another cluster, or a node not wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A node of a cluster."""

    cluster: str
    node: str

    def __str__(self) -> str:
        """Give the URI that stands in the certificate."""
        return f"{SCHEME}{self.cluster}/{self.node}"


def identity_of(certificate: Mapping[str, Any] | None) -> Identity:
    """Read a verified certificate as ``SSLObject.getpeercert()`` gives it; raises NotAPeer saying what is wrong."""
    if not certificate:
        raise NotAPeer("no certificate was shown")
    named = certificate.get("subjectAltName", ())
    uris = [text for kind, text in named if kind == "URI" and text.startswith(SCHEME)]
    if len(uris) != 1:
        raise NotAPeer(f"the certificate holds {len(uris)} URIs {SCHEME}CLUSTER/NODE instead of one")
    match = _FORM.fullmatch(uris[0])
    if match is None:
        raise NotAPeer(f"the certificate's URI {uris[0][:_SHOWN_MAX]!r} is not of the form {SCHEME}CLUSTER/NODE")
    return Identity(cluster=match[1], node=match[2])


def caller(certificate: Mapping[str, Any] | None, cluster: str, nodes: Collection[str]) -> str:
    """Give the name of a node that may call; raises NotAPeer for another cluster or a node not on the list."""
    found = identity_of(certificate)
    if found.cluster != cluster:
        raise NotAPeer(f"{found} is of another cluster than {cluster}")
    if found.node not in nodes:
        raise NotAPeer(f"{found.node} is not on the list of nodes in force")
    return found.node


def expect(certificate: Mapping[str, Any] | None, wanted: Identity, *, who: str = "the server") -> None:
    """Check that a server (or whoever *who* says) is the node meant; raises NotAPeer."""
    found = identity_of(certificate)
    if found != wanted:
        raise NotAPeer(f"{who} is {found}, not {wanted}")
