"""TLS between peers: 1.3 only, the cluster's own authorities only, both sides with certificates; files re-read.

A client's context belongs to one node: the handshake itself fails unless the server is that node, so nothing is ever
sent to another. A server's context lets in whoever the authorities vouch for; who that is, is looked at with each
request, since the list of nodes may change while a connection lives.
"""

import ssl
from collections.abc import Callable
from typing import Final

from coordinator.peers.identity import Identity, NotAPeer, expect
from coordinator.pki import Pki, PkiUnusable, Stamp

ALPN: Final = ["http/1.1"]


class Contexts:
    """The present contexts; made anew as soon as a file changes. The old ones serve on while new files do not fit."""

    def __init__(self, pki: Pki, cluster: str, *, alarm: Callable[[str], None] = lambda _: None) -> None:
        """Read nothing yet; ``alarm`` is told once of each set of files that cannot be used."""
        self._pki, self._cluster, self._alarm = pki, cluster, alarm
        self._stamp: Stamp = ()
        self._server: ssl.SSLContext | None = None
        self._clients: dict[str, ssl.SSLContext] = {}
        self._complaint = ""

    def server(self) -> ssl.SSLContext:
        """Give the context for connections coming in. Raises PkiUnusable when there never was a usable one."""
        self._refresh()
        if self._server is None:
            raise PkiUnusable(f"{self._pki.directory}: not usable")
        return self._server

    def client(self, node: str) -> ssl.SSLContext:
        """Give the context for connections to *node*; raises PkiUnusable as above."""
        self._refresh()
        found = self._clients.get(node)
        if found is None:
            found = self._clients[node] = self._client(Identity(cluster=self._cluster, node=node))
        return found

    def _refresh(self) -> None:
        """Take changed files; what is wrong with new ones is told once, and raised only when none served before."""
        try:
            stamp = self._pki.stamp()
            if stamp == self._stamp:
                return
            self._stamp = stamp  # files that do not fit are looked at again when one of them changes
            server = _for_peers(self._pki, ssl.PROTOCOL_TLS_SERVER)
        except PkiUnusable as error:
            if self._server is None:
                self._stamp = ()
                raise
            self._complain(f"{error}; the certificates read before stay in use")
            return
        server.num_tickets = 0  # a resumed session would show no certificate of today
        self._server, self._clients, self._complaint = server, {}, ""

    def _client(self, wanted: Identity) -> ssl.SSLContext:
        context = _for_peers(self._pki, ssl.PROTOCOL_TLS_CLIENT)
        context.sslobject_class = _only(wanted)
        return context

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            self._complaint = text
            self._alarm(text)


def _for_peers(pki: Pki, protocol: ssl._SSLMethod) -> ssl.SSLContext:
    context = pki.context(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(ALPN)
    return context


def _only(wanted: Identity) -> type[ssl.SSLObject]:
    """Make a connection whose handshake succeeds only with the node wanted (``SSLContext.sslobject_class``)."""

    class OnlyThisNode(ssl.SSLObject):
        """Looks at the server's certificate before anything can be sent."""

        def do_handshake(self) -> None:
            """Finish the handshake, then compare; raises SSLCertVerificationError."""
            super().do_handshake()
            try:
                expect(self.getpeercert(), wanted)
            except NotAPeer as error:
                raise ssl.SSLCertVerificationError(1, str(error)) from None

    return OnlyThisNode
