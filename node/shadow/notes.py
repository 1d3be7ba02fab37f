"""What is told to the spool a moment later, many at once: whose copies are durable, whose end the other side has heard.

Forgetting one costs a second copy or a second discard, never mail; so nothing waits for it and it is bounded.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

from node.errors import RelayError
from node.spool.paired import PairedSpool

GATHER_S: Final = 1.0
IDS_MAX: Final = 100_000
"""What may gather while the spool takes nothing."""
CHUNK: Final = 4_096

_log = logging.getLogger(__name__)


class Notes:
    """Gathers; ``run`` writes."""

    def __init__(self, spool: PairedSpool, counts: Callable[[int], bool]) -> None:
        """``counts``: whether a copy under this number is worth anything now, asked in the turn that writes."""
        self._spool, self._counts = spool, counts
        self._copied: dict[str, int] = {}
        self._writing: dict[str, int] = {}
        self._told: set[str] = set()
        self._one = asyncio.Lock()

    def __len__(self) -> int:
        """Count messages that are copied, and not yet known to be by the spool."""
        return len(self._copied) + len(self._writing)

    def __contains__(self, message_id: str) -> bool:
        """Whether it is one of those."""
        return message_id in self._copied or message_id in self._writing

    def copied(self, message_id: str, number: int) -> None:
        """The other end has it."""
        if len(self._copied) < IDS_MAX:
            self._copied[message_id] = number

    def over(self, message_id: str) -> None:
        """It is settled: its copy does not matter any more."""
        self._copied.pop(message_id, None)

    def told(self, message_ids: Iterable[str]) -> None:
        """The other end has heard that they are settled, or need not hear."""
        if len(self._told) < IDS_MAX:
            self._told.update(message_ids)

    async def run(self) -> None:
        """Write every second."""
        while True:
            await asyncio.sleep(GATHER_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what has gathered; what the spool does not take is tried again."""
        async with self._one:
            try:
                await self._confirm()
                await self._hear()
            except RelayError as error:
                _log.info("not noted in the spool for now: %s", error)
            except Exception:  # noqa: BLE001 - nothing here may end the copying
                _log.exception("not noted in the spool for now")

    async def _confirm(self) -> None:
        self._writing, self._copied = self._copied, {}
        try:
            while self._writing:
                await self._confirm_some()
        finally:  # a message that was settled meanwhile is ignored by the spool
            self._copied = self._writing | self._copied
            self._writing = {}

    async def _confirm_some(self) -> None:
        number = next(iter(self._writing.values()))
        ids = [name for name, of in self._writing.items() if of == number][:CHUNK]
        if self._counts(number):
            await self._spool.confirm(number, ids)
        for name in ids:
            del self._writing[name]

    async def _hear(self) -> None:
        while self._told:
            ids = sorted(self._told)[:CHUNK]
            await self._spool.told(ids)
            self._told.difference_update(ids)
