"""Tells a store that went back to an older copy of itself from one that goes on (coordination-review §5). Pure.

Answers to reads and transactions are ordered: none may be older than what was known before it was asked for. Other
answers only teach how far the store has come, for the member that gives them may lag behind the rest.
"""

from collections.abc import Callable

from coordinator.store.contract import WentBack


class Age:
    """How far one store is known to have come."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self.newest = 0
        self._tell: list[Callable[[WentBack], None]] = []
        self._found: WentBack | None = None

    def on_went_back(self, tell: Callable[[WentBack], None]) -> None:
        """See Store."""
        self._tell.append(tell)

    def asking(self) -> int:
        """Give what an answer to a question asked now must not fall behind; raises WentBack once the store did."""
        if self._found is not None:
            raise WentBack(str(self._found))
        return self.newest

    def learned(self, revision: int) -> None:
        """Take a revision some member has reached."""
        self.newest = max(self.newest, revision)

    def answered(self, asked_at: int, revision: int) -> None:
        """Take the revision of an ordered answer; raises WentBack, having told so first."""
        if revision < asked_at:
            self._went_back(revision, asked_at)
        self.asking()  # an answer from before the store went back counts no more than one from after
        self.learned(revision)

    def _went_back(self, revision: int, known: int) -> None:
        if self._found is None:
            self._found = WentBack(f"the store is at revision {revision}, it was at {known} before: an older copy")
            for tell in self._tell:
                tell(self._found)
