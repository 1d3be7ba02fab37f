"""Nodes that are there and take no copies: full, or the way to them is cut. Another one is tried before them. Pure."""

from collections.abc import Callable
from typing import Final

AFTER_S: Final = 3.0
"""Failing for so long is no hiccup."""
FOR_S: Final = 60.0
"""So long others come first."""


class Shunned:
    """Bounded by the nodes of a cluster."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock``: seconds that never go back."""
        self._clock = clock
        self._since_s: dict[str, float] = {}
        self._until_s: dict[str, float] = {}

    def __contains__(self, node: str) -> bool:
        """Whether others come first now."""
        return self._until_s.get(node, 0.0) > self._clock()

    def worked(self, node: str) -> None:
        """It answers: failing counts anew."""
        self._since_s.pop(node, None)

    def took(self, node: str) -> None:
        """Copies are durable there: whatever was wrong with it is over, and what it has counts."""
        self._since_s.pop(node, None)
        self._until_s.pop(node, None)

    def until_s(self, node: str) -> float:
        """Say when that is over for a node; 0 when it is not shunned."""
        return self._until_s[node] if node in self else 0.0

    def failed(self, node: str) -> bool:
        """Note that none went there; whether others come first from now on, or for longer than was said before."""
        now_s = self._clock()
        if now_s - self._since_s.setdefault(node, now_s) < AFTER_S:
            return False
        del self._since_s[node]
        self._until_s[node] = now_s + FOR_S
        return True
