"""Whose word a wish under ``control/`` is, with the authorities read anew when ``ca.pem`` changes."""

from collections.abc import Callable, Collection

from coordinator.pki import Pki, PkiUnusable, Stamp
from coordinator.signing import Verifier
from coordinator.wishes import BadWish, Wish


class CurrentVerifier:
    """``Verify`` of a ``WishBook``."""

    def __init__(self, cluster: str, pki: Pki, nodes: Callable[[], Collection[str]]) -> None:
        """Read nothing yet; ``nodes`` are those whose word counts now."""
        self._cluster, self._pki, self._nodes = cluster, pki, nodes
        self._stamp: Stamp = ()
        self._verifier: Verifier | None = None

    def verify(self, key: str, value: bytes) -> Wish:
        """Give the wish a value holds. Raises BadWish, which says why it is nobody's word."""
        try:
            stamp = self._pki.stamp()
            if self._verifier is None or stamp != self._stamp:
                self._verifier = Verifier(self._cluster, self._pki.read().ca, self._nodes)
                self._stamp = stamp
        except (PkiUnusable, ValueError) as error:
            if self._verifier is None:
                raise BadWish(f"no authority to check it by: {error}") from None
        return self._verifier.verify(key, value)
