"""When spares are compared with their owner: all of them soon after something changed, later a few at a time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from coordinator.errors import CoordinatorError
from coordinator.ownership.rows import Attached
from coordinator.peers.contract import Peers
from node.errors import RelayError
from node.shadow.asking import Asking
from node.shadow.bringer import TIMEOUT_S
from node.shadow.contract import Copies, Held
from node.shadow.errors import ShadowError
from node.shadow.ownership import Ownership
from node.shadow.questions import ASK_BACK, AskedBack, about, encoded
from node.shadow.words import answer_of

PAUSE_S: Final = 5.0
"""Between questions about one thousand spares, while nothing changes."""
SOON_S: Final = 0.2
"""After a change."""
ASK_BACK_S: Final = 2.0

_log = logging.getLogger(__name__)


class Comparing:
    """Goes round the pairings with spares here."""

    def __init__(
        self,
        copies: Copies,
        asking: Asking,
        ownership: Ownership,
        peers: Peers,
        *,
        again: Callable[[], Awaitable[None]],
        pause_s: float = PAUSE_S,
    ) -> None:
        """``again`` is called before each round."""
        self._copies, self._asking, self._ownership, self._peers = copies, asking, ownership, peers
        self._again, self._pause_s = again, pause_s
        self._changed = asyncio.Event()
        self._after: dict[Attached, str] = {}
        """How far slow passes have come; bounded by the store's pairings."""
        self._last: Attached | None = None

    def soon(self) -> None:
        """Something changed: compare all of them now."""
        self._changed.set()

    async def run(self) -> None:
        """Go round, until cancelled."""
        whole = True
        while True:
            try:
                async with asyncio.timeout(self._pause_s):
                    await self._changed.wait()
            except TimeoutError:
                pass
            else:
                await asyncio.sleep(SOON_S)  # what changes together is looked at together
                self._changed.clear()
                whole = False
            if whole:
                await self._guarded(self._slowly)
            else:
                whole = await self._guarded(self._at_once)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Work; False if something was not as it should be, and should be done again."""
        try:
            await self._again()
            await work()
        except (RelayError, CoordinatorError) as error:
            _log.info("spares are compared again later: %s", error)
            return False
        except Exception:  # noqa: BLE001 - whatever it is, the node goes on
            _log.exception("spares could not be compared")
            return False
        return True

    async def _at_once(self) -> None:
        """Compare everything; raises the first error after all pairings had their turn."""
        errors: list[Exception] = []
        for held in await self._held():
            after = ""
            try:
                while after := await self._asking.compare(held.attached, after):
                    pass
            except (CoordinatorError, ShadowError) as error:
                errors.append(error)
        if errors:
            raise errors[0]

    async def _slowly(self) -> None:
        """Compare a few of the pairing whose turn it is."""
        chosen = [held.attached for held in await self._held()]
        self._after = {each: after for each, after in self._after.items() if each in chosen}
        if not chosen:
            return
        turn = chosen.index(self._last) + 1 if self._last in chosen else 0
        attached = self._last = chosen[turn % len(chosen)]
        self._after[attached] = await self._asking.compare(attached, self._after.get(attached, ""))

    async def _held(self) -> list[Held]:
        """Pairings with spares here; those that are over and empty are forgotten."""
        found = await self._copies.held()
        for held in found:
            view = self._ownership.view(held.attached.key)
            if not held.messages and view is not None and held.attached.epoch < view.epoch:
                await self._copies.drop(held.attached)
        return [held for held in found if held.messages]

    # ---- keys that are wanted ----------------------------------------------------------------------------------------

    async def run_asking_back(self) -> None:
        """Ask for keys of pairings of this node's own spool, until cancelled."""
        while True:
            await asyncio.sleep(ASK_BACK_S)
            for node, key, revision in self._ownership.to_ask_back():
                question = AskedBack(**about(Attached(key=key, epoch=1)), revision=revision)
                try:
                    answer_of(await self._peers.ask(node, ASK_BACK, encoded(question), timeout_s=TIMEOUT_S))
                except (CoordinatorError, RelayError) as error:
                    _log.info("%s was asked for a pairing's key: %s", node, error)
