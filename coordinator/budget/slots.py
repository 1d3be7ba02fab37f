"""At most S sessions at once, of which S - 1 are used (coordination-review §4, Slots).

The one left over covers sessions of a vanished host, which the other side counts for ``linger`` longer:
``held + lingering <= S`` holds before a slot is given, ``held <= S - 1`` always (a limit of one uses its one).

Pure: handed ``now_ms``. A slot is an index; who holds it is the caller's matter.
"""

from heapq import heappop, heappush, heappushpop


class Slots:
    """Indexes 0 to usable - 1; remembers at most S lingering sessions."""

    __slots__ = ("_held", "_linger_ms", "_lingering", "limit")

    def __init__(self, *, limit: int, linger_ms: int) -> None:
        """``limit`` is what the other side allows."""
        if limit < 1 or linger_ms < 0:
            raise ValueError(f"impossible slots: {limit=} {linger_ms=}")
        self.limit = limit
        self._linger_ms = linger_ms
        self._held: set[int] = set()
        self._lingering: list[int] = []

    @property
    def usable(self) -> int:
        """How many may be held at once."""
        return max(1, self.limit - 1)

    @property
    def held(self) -> int:
        """How many are held."""
        return len(self._held)

    def lingering(self, now_ms: int) -> int:
        """Sessions the other side may still count although nobody holds them."""
        while self._lingering and self._lingering[0] <= now_ms:
            heappop(self._lingering)
        return len(self._lingering)

    def take(self, now_ms: int) -> int | None:
        """Lowest free index, or None."""
        if self.held >= self.usable or self.held + self.lingering(now_ms) >= self.limit:
            return None
        index = next(k for k in range(self.usable) if k not in self._held)
        self._held.add(index)
        return index

    def give_back(self, index: int, now_ms: int, *, linger: bool = False) -> None:
        """Free a held index; with ``linger`` the session vanished and counts for ``linger_ms`` more."""
        self._held.remove(index)
        if linger:
            self.restore_lingering(1, now_ms, now_ms + self._linger_ms)

    def lingering_until(self, now_ms: int) -> tuple[int, ...]:
        """When each lingering session stops to count, to be kept over a restart."""
        self.lingering(now_ms)
        return tuple(sorted(self._lingering))

    def restore_lingering(self, sessions: int, now_ms: int, until_ms: int) -> None:
        """Sessions nobody holds that count until then. More than S are as good as S, those that count longest."""
        if until_ms <= now_ms:
            return
        for _ in range(min(sessions, self.limit)):
            if self.lingering(now_ms) < self.limit:
                heappush(self._lingering, until_ms)
            else:
                heappushpop(self._lingering, until_ms)

    def next_free_ms(self, now_ms: int) -> int:
        """When lingering alone gives a slot back; ``now_ms`` if one is free, 0 if only a holder can."""
        if self.held >= self.usable:
            return 0
        return now_ms if self.held + self.lingering(now_ms) < self.limit else self._lingering[0]
