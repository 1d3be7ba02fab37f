"""When this node may send: it has a session, or everybody's word that the store is silent, *and* its mail is its own.

After every begin of a session the pairings are claimed and rows brought in line before anything is attempted
(coordination-review §3, Return). While the store is silent for all, the other ends must say that they took
nothing over.
While mail is given away, nothing is attempted either. Decides nothing else.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

_log = logging.getLogger(__name__)
AGREE_AGAIN_S = 1.0


class Owner(Protocol):
    """What is known of ownership."""

    @property
    def ready(self) -> bool:
        """With a live session: every row in the spool may be attempted."""
        ...

    @property
    def leaving(self) -> bool:
        """Whether what is mine is to be given away."""
        ...

    @property
    def given(self) -> bool:
        """Whether nothing is left that could be given now."""
        ...


class Gate:
    """Opens and shuts delivery; ``look`` after any news."""

    def __init__(
        self,
        owner: Owner,
        *,
        freely: Callable[[], bool],
        agreed: Callable[[], Awaitable[bool]],
        on_open: Callable[[], None],
        on_shut: Callable[[], None],
    ) -> None:
        """``freely``: whether everybody's word stands in for a session; ``agreed`` asks the other ends of pairings."""
        self._owner, self._freely, self._agreed = owner, freely, agreed
        self._on_open, self._on_shut = on_open, on_shut
        self._session = self._by_word = False
        self._asking: asyncio.Task[None] | None = None
        self.open = False

    def session(self, lives: bool) -> None:
        """Hear whether this node may send as far as session and silence are concerned."""
        self._session = lives
        self.look()

    def look(self) -> None:
        """Compare what is so with what was told last."""
        freely = self._session and self._freely()
        if not freely:
            self._by_word = False
        mine = self._owner.ready or (freely and self._by_word)
        giving = self._owner.leaving and not self._owner.given
        wanted = self._session and mine and not giving
        if freely and not mine and self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._ask())
        if wanted != self.open:
            self.open = wanted
            _log.info("delivery %s", "goes on" if wanted else f"rests: {self._why(mine=mine)}")
            (self._on_open if wanted else self._on_shut)()

    def _why(self, *, mine: bool) -> str:
        if not self._session:
            return "no session, and not everybody's word"
        return "mail is given away" if mine else "mail here may be another node's"

    async def _ask(self) -> None:
        try:
            while self._session and self._freely() and not self._by_word:
                self._by_word = await self._agreed()
                if not self._by_word:
                    await asyncio.sleep(AGREE_AGAIN_S)
        finally:
            self._asking = None
        self.look()

    async def close(self) -> None:
        """End what is being asked."""
        task, self._asking = self._asking, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
