"""What a restarted coordinator does for its predecessor: its addresses were removed, so their keys go cleanly.

Others then take them at once instead of waiting as after an unclean end; the predecessor's lease is revoked right
after, when our own session begins (``SessionRunner``).
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from coordinator.joining import Joined
from coordinator.store.contract import Compare, Delete, Field, StoreError


async def release_former(joined: Joined, names: Iterable[str], *, timeout_s: float) -> tuple[str, ...]:
    """Delete the keys of addresses that bear the predecessor's lease; the names of those deleted.

    Only for addresses whose drivers have cleaned up. Gives up after ``timeout_s``: then the lease's end does it.
    """
    lease = joined.held.read()
    released: list[str] = []
    if not lease:
        return ()
    with suppress(StoreError, TimeoutError):
        async with asyncio.timeout(timeout_s):
            for name in names:
                key = joined.keys.address(name)
                mine = Compare(key=key, field=Field.LEASE, equals=lease)
                outcome = await joined.store.txn([mine], [Delete(key=key)], timeout_s=timeout_s)
                if outcome.succeeded:
                    released.append(name)
    return tuple(released)
