"""Paths that failed to answer a moment ago: urgent mail does not wait until they have failed often enough to rest.

A connection that cannot be made says little (facts m365 §4.2 row 1), so a path rests only after several. Meanwhile
urgent mail takes another path, if one can be used: all accounts of a path lead to the same host, so trying them one
after the other would only cost time. Else it takes another account. In memory only, of this node only, and short.
"""

from collections.abc import Iterable
from typing import Final

from node.policy.route import Way
from node.policy.scopes import path_scope

DOUBT_MS: Final = 30_000
"""As long as the first rest after a failed connection: then somebody tries again."""


class Doubts:
    """Ways in doubt by name, and their paths by scope. At most as many as there are of both."""

    def __init__(self) -> None:
        """Doubt nothing."""
        self._until_ms: dict[str, int] = {}

    def note(self, way: Way, now_ms: int) -> None:
        """A connection of this way failed or broke."""
        self._until_ms[way.name] = self._until_ms[path_scope(way)] = now_ms + DOUBT_MS

    def clear(self, way: Way) -> None:
        """It works, and so does its path."""
        self._until_ms.pop(way.name, None)
        self._until_ms.pop(path_scope(way), None)

    def among(self, usable: Iterable[Way], now_ms: int) -> frozenset[str]:
        """Name the ways among those that can be used which urgent mail should leave alone."""
        if not self._until_ms:
            return frozenset()
        self._until_ms = {name: until_ms for name, until_ms in self._until_ms.items() if until_ms > now_ms}
        ways = list(usable)
        wide = [way for way in ways if path_scope(way) in self._until_ms]
        doubted = wide if len(wide) < len(ways) else [way for way in ways if way.name in self._until_ms]
        return frozenset(way.name for way in doubted)
