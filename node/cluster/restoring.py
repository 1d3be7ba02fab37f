"""Makes a store that was put back to an older copy fit for use: while nobody has a session (coordination-review §5).

Day counters are raised to what the nodes' ledgers say; then the store's revision is brought past every one a node has
known, since epochs of second copies are made of revisions, and one that comes again would mix up two lots of mail.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec

from coordinator.budget.raising import raised
from coordinator.budget.shares import Overdrawn
from coordinator.errors import CoordinatorError
from coordinator.keys import Keys, Role
from coordinator.store.contract import Put, Store, absent, unchanged

TIMEOUT_S: Final = 10.0
SESSIONS_S: Final = 30.0
"""Sessions the copy holds end by themselves when nobody renews them; the longest lease is 10 s."""
LOOK_S: Final = 1.0
AT_ONCE: Final = 64
REVISIONS_MAX: Final = 5_000_000
"""More is no yesterday's copy; and each takes room in the store until it is compacted."""


class InUse(CoordinatorError):  # noqa: N818 - a state of affairs
    """Somebody has a session, or wrote meanwhile: what is counted moves under our hands."""

    temporary = False


class TooOld(CoordinatorError):  # noqa: N818 - as above
    """The copy is behind by more than can be made up for."""

    temporary = False


class Unreadable(CoordinatorError):  # noqa: N818 - as above
    """A counter is none: somebody must look at it, then delete it or put it right."""

    temporary = False


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """What was done."""

    raised: tuple[str, ...]
    """Day counters that said less than the ledgers."""
    revision: int
    """Of the store now."""


async def rebuild(
    store: Store, keys: Keys, floors: Mapping[str, Mapping[str, int]], *, known: int, now_ms: int, settle_ms: int
) -> Rebuilt:
    """Raise the counters, then the revision beyond *known*. Taken again it does what is left to do.

    Raises InUse, TooOld, Unreadable, and StoreErrors.
    """
    await _nobody(store, keys)
    changed = []
    for place, floor in floors.items():
        key = f"{keys.root}budget/{place}"
        item = await store.get(key, timeout_s=TIMEOUT_S)
        try:
            value = raised(item.value if item else None, floor, now_ms, settle_ms)
        except Overdrawn as error:
            raise Unreadable(f"{key}: {error}") from None
        if value is None:
            continue
        compare = unchanged(item) if item else absent(key)
        if not (await store.txn([compare], [Put(key=key, value=value)], timeout_s=TIMEOUT_S)).succeeded:
            raise InUse(f"{key} was written meanwhile: stop every node, then do this again")
        changed.append(place)
    await _beyond(store, keys, known)
    return Rebuilt(raised=tuple(changed), revision=store.newest)


async def _nobody(store: Store, keys: Keys) -> None:
    """Wait until the sessions the copy remembers have ended; raises InUse when one goes on."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + SESSIONS_S
    while True:
        there = (await store.list(f"{keys.root}{Role.NODE}/", timeout_s=TIMEOUT_S)).items
        if not there:
            return
        if loop.time() > until_s:
            names = ", ".join(sorted(item.key.rpartition("/")[2] for item in there))
            raise InUse(f"{names}: has a session; stop every node, then do this again")
        await asyncio.sleep(LOOK_S)


async def _beyond(store: Store, keys: Keys, known: int) -> None:
    """Write one key again and again, until no revision a node has known can come once more."""
    if known - store.newest > REVISIONS_MAX:
        raise TooOld(f"the store is at revision {store.newest}, a node knew {known}")
    put = Put(key=f"{keys.root}rebuilt", value=msgspec.json.encode({"known": known}))
    while store.newest <= known:
        batch = min(AT_ONCE, known + 1 - store.newest)
        await asyncio.gather(*(store.txn([], [put], timeout_s=TIMEOUT_S) for _ in range(batch)))
