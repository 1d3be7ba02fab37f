"""Ways that failed to answer a moment ago: urgent mail does not wait until they have failed often enough to rest.

A connection that cannot be made says little (facts m365 §4.2 row 1), so a way rests only after several. Meanwhile
urgent mail takes another way, if there is one. In memory only, of this node only, and short.
"""

from typing import Final

DOUBT_MS: Final = 30_000
"""As long as the first rest after a failed connection: then somebody tries again."""


class Doubts:
    """Ways in doubt, by name. At most as many as there are ways."""

    def __init__(self) -> None:
        """Doubt nothing."""
        self._until_ms: dict[str, int] = {}

    def note(self, way: str, now_ms: int) -> None:
        """A connection of this way failed or broke."""
        self._until_ms[way] = now_ms + DOUBT_MS

    def clear(self, way: str) -> None:
        """It works."""
        self._until_ms.pop(way, None)

    def now(self, now_ms: int) -> frozenset[str]:
        """Name the ways in doubt."""
        if not self._until_ms:
            return frozenset()
        self._until_ms = {way: until_ms for way, until_ms in self._until_ms.items() if until_ms > now_ms}
        return frozenset(self._until_ms)
