"""What a watch has seen so far: resumes without gap, skips what it knows, notices what the stream lost. Pure."""

from collections.abc import Sequence

from coordinator.store.contract import Change, Listing, Seen


class Follower:
    """The state of one watch: the revision of each key known, and the next revision to ask for.

    Bounded by the number of keys under the prefix.
    """

    def __init__(self, prefix: str) -> None:
        """Know nothing yet."""
        self.prefix = prefix
        self.next_revision = 1
        self._known: dict[str, int] = {}

    def resynced(self, listing: Listing) -> Seen:
        """Take a listing as the whole truth."""
        self._known = {item.key: item.mod_revision for item in listing.items}
        self.next_revision = max(self.next_revision, listing.revision + 1)
        changes = tuple(Change(key=item.key, item=item, revision=item.mod_revision) for item in listing.items)
        return Seen(changes=changes, revision=listing.revision, resync=True)

    def streamed(self, changes: Sequence[Change], revision: int) -> Seen | None:
        """Take changes from the stream; None when all were known (a poll was faster) or it told only progress."""
        fresh = tuple(change for change in changes if change.revision >= self.next_revision)
        for change in fresh:
            if change.item is None:
                self._known.pop(change.key, None)
            else:
                self._known[change.key] = change.revision
        if changes:
            self.next_revision = max(self.next_revision, changes[-1].revision + 1)
        else:
            self.next_revision = max(self.next_revision, revision + 1)
        return Seen(changes=fresh, revision=self.next_revision - 1) if fresh else None

    def polled(self, listing: Listing) -> Seen | None:
        """Compare with a listing; a resync when they differ, None when the stream had told everything.

        A listing older than what the stream already told is ignored: a member that lags, not news.
        """
        if listing.revision < self.next_revision - 1:
            return None
        if {item.key: item.mod_revision for item in listing.items} == self._known:
            return None
        return self.resynced(listing)
