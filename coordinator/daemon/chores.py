"""The leader's chores: put the values in force once all living nodes want the same (operations M17)."""

import asyncio
from contextlib import suppress
from typing import Final

from coordinator.daemon.everybody import Everybody
from coordinator.errors import NotAMember
from coordinator.inforce import agreed
from coordinator.keys import Keys, encode
from coordinator.runner import SessionRunner
from coordinator.store.contract import Compare, Field, Put, StoreError, absent

BEAT_S: Final = 1.0


class ConfigChore:
    """Watches what nodes want and puts it in force."""

    def __init__(self, everybody: Everybody, session: SessionRunner, keys: Keys) -> None:
        """Do nothing yet."""
        self._everybody, self._session, self._keys = everybody, session, keys

    async def run(self) -> None:
        """Look once a second until cancelled."""
        while True:
            with suppress(StoreError, NotAMember):  # looked at again in a second
                await self.once()
            await asyncio.sleep(BEAT_S)

    async def once(self) -> bool:
        """Put the values in force if all living nodes agree on new ones; whether that was done.

        The write compares the leader's key and the values as read, so a leader of before changes nothing.
        """
        everybody, session = self._everybody, self._session.session
        fresh = agreed(everybody.in_force(), everybody.wanted(), everybody.nodes.live)
        if fresh is None:
            return False
        item = everybody.config_item()
        before = absent(self._keys.config)
        if item is not None:
            before = Compare(key=item.key, field=Field.MOD, equals=item.mod_revision)
        lead = Compare(key=self._keys.leader, field=Field.LEASE, equals=session.lease)
        put = Put(key=self._keys.config, value=encode(fresh))
        outcome = await self._session.guarded([lead, before], [put], timeout_s=session.timing.timeout_ms / 1_000)
        return outcome.succeeded
