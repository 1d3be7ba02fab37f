"""Takes a node out of service so that nobody is refused: for good at a stop, or while an operator wishes it drained.

An address in the kernel takes its sessions along when it moves, so those are seen out before it goes, while newcomers'
kernels knock again a second later, at the next host (peers §4.18). Then the node says that it is not ready, its
addresses go, balancers get the time to notice, and the door closes. Mail is given away only after that. Decides when;
the door knows how.
"""

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from node.errors import RelayError
from node.intake.front import Front, make_front

if TYPE_CHECKING:
    from node.app.node import Node

HOLD_S: Final = 2.5
"""Longest time newcomers wait for an address to go: a kernel repeats its first segment after 1 s and 3 s (RFC 6298)."""
NOTICE_S: Final = 10.0
"""What clouds' balancers take by default: two probes, five seconds apart."""
AGAIN_S: Final = 1.0
PART_S: Final = 5.0
"""Longest time sessions may take to leave an address that moves while nobody waits for it."""
LAST_S: Final = 0.1
"""And those that have come meanwhile, while newcomers wait."""
HANDSHAKE_S: Final = 0.01
"""So long a handshake under way may take where the address stays nowhere for it: the way to a client near by."""
MOVED_S: Final = 0.2
"""When the coordinator has surely removed it."""
IN_KERNEL: Final = ("netlink", "hook")
"""Drivers of addresses whose sessions end with them; a balancer leaves its sessions where they are."""
_log = logging.getLogger(__name__)


class Retreat:
    """One node's way out of service, and back."""

    def __init__(self, node: "Node") -> None:
        """Of a node that may not have started yet."""
        self._node = node
        self._left: asyncio.Task[None] | None = None
        self._hurried = asyncio.Event()
        self._wished = False
        self._news = asyncio.Event()
        self._parting = asyncio.Lock()
        self._welcome: asyncio.TimerHandle | None = None
        self.gone = False
        """Not ready any more."""
        self.closed = False
        """Nobody is listened to any more."""

    async def leave(self, bound_s: float) -> None:
        """Go out of service within ``bound_s``; what has begun goes on, even if whoever asked is cancelled."""
        if self._left is None:
            self._left = asyncio.create_task(self._leave(bound_s), name="retreat")
        await asyncio.shield(self._left)

    def hurry(self) -> None:
        """Wait for nobody any more who may be told to come back."""
        self._hurried.set()
        if self._node.intake is not None:
            self._node.intake.hurry()

    async def _leave(self, bound_s: float) -> None:
        front = self._node.intake
        until_s = asyncio.get_running_loop().time() + bound_s
        if front is not None:
            notice_s = await self._announce(front, bound_s)
            if notice_s:
                front.welcome()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._hurried.wait(), notice_s)
            cut_off = await front.drain(max(1.0, until_s - asyncio.get_running_loop().time()))
            if cut_off:
                _log.warning("%d sessions had not ended and are cut off", cut_off)
        self.gone = self.closed = True

    async def _announce(self, front: Front, bound_s: float) -> float:
        """Let addresses go; how long balancers take to notice."""
        member = self._node.member
        if member is None:
            self.gone = True
            return self._notice_s(balanced=False)
        moving, balanced = member.addresses(*IN_KERNEL), bool(member.addresses("probe"))
        if moving:
            _log.info("sessions by %s end before it moves", ", ".join(sorted(moving)))
            await front.hold(moving, min(HOLD_S, bound_s / 4))
        self.gone = True
        await member.released()
        return self._notice_s(balanced=balanced)

    def _notice_s(self, *, balanced: bool) -> float:
        notice_s = self._node.settings.stop_notice
        if notice_s is None:
            return min(NOTICE_S, self._node.settings.stop_timeout / 3) if balanced else 0.0
        return notice_s

    async def part(self, address: str) -> None:
        """See sessions out of an address in the kernel that moves away while this node goes on; bounded.

        Newcomers are let in meanwhile. At the end they wait for a moment, in which the address goes.
        """
        front, member = self._node.intake, self._node.member
        if front is None or member is None or address not in member.addresses(*IN_KERNEL):
            return
        async with self._parting:
            if self._left is not None:  # they are seen out already
                return
            if self._welcome is not None:
                self._welcome.cancel()
            await front.see_out(frozenset({address}), PART_S)
            await front.hold(frozenset({address}), LAST_S, HANDSHAKE_S)
            self._welcome = asyncio.get_running_loop().call_later(MOVED_S, self._let_come, front)

    def _let_come(self, front: Front) -> None:
        if self._left is None:
            front.welcome()

    # An operator's wish -----------------------------------------------------------------------------------------------

    def wish(self, drained: bool) -> None:
        """Hear whether an operator wishes this node drained."""
        if drained != self._wished:
            self._wished = drained
            self._news.set()

    async def follow(self) -> None:
        """Do as wished, until cancelled; what has begun is finished."""
        while True:
            await self._news.wait()
            self._news.clear()
            if self._wished and not self.gone:
                await self._drain()
            elif not self._wished and self.gone:
                await self._come_back()

    async def _drain(self) -> None:
        _log.info("draining: an operator wishes it")
        await self.leave(self._node.settings.stop_timeout / 2)
        if self._node.intake is not None:
            await self._node.intake.close()
        if self._node.protection is not None:
            self._node.protection.leave(True)

    async def _come_back(self) -> None:
        node = self._node
        if node.protection is not None:
            node.protection.leave(False)
        while not self._wished:
            try:
                front = make_front(node.settings, node.door, node.telemetry, hostname=node.hostname)
                await front.start()
            except RelayError as error:
                _log.error("cannot listen again yet: %s", error)
                await asyncio.sleep(AGAIN_S)
                continue
            node.intake, self._left, self.gone, self.closed = front, None, False, False
            _log.info("drained no more")
            return
