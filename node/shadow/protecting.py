"""Copies later what is here alone: mail from before another node was there, of a lost copy, of a pairing that is over.

Mail of a pairing that nobody can adopt is attached to the one in force, then whatever of that one is not known to be
kept twice is sent again, as it stands. It never takes more than half the room, and waits for each part to arrive.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from node.errors import RelayError
from node.policy.envelope import Copies
from node.shadow.current import Current
from node.shadow.notes import Notes
from node.shadow.numbers import Numbers
from node.shadow.outbox import Kept, Pace
from node.shadow.reports import PROGRESS_MAX, journey_of, standing_entries
from node.shadow.retelling import UNTOLD
from node.shadow.sending import Sending
from node.spool.contract import Accepted, BodyFile
from node.spool.errors import MessageGone
from node.spool.paired import PairedSpool, Standing

LOOK_S: Final = 1.0
ANYWAY_S: Final = 10.0
"""How often everything is looked through although nothing was heard of: an operator may have made mail live again."""
CHUNK: Final = 100
PART_BYTES: Final = 1 << 20
"""Sent at once: what comes in at the door waits behind no more."""

_log = logging.getLogger(__name__)


class Protecting:
    """Looks each second; ``run`` until cancelled."""

    def __init__(
        self,
        spool: PairedSpool,
        sending: Sending,
        numbers: Numbers,
        notes: Notes,
        taking: Callable[[str], bool],
        pace: Pace,
    ) -> None:
        """``taking``: whether a message is still being taken in, with a copy under way."""
        self._spool, self._sending, self._numbers, self._notes = spool, sending, numbers, notes
        self._taking, self._pace = taking, pace
        self.unprotected = 0
        """Live messages not known to be kept twice, when last looked."""
        self._due = True
        self._anyway_s = 0.0
        self._touched: set[str] | None = None

    def wanted(self) -> None:
        """Something may be here alone: look through everything soon."""
        self._due = True

    def touched(self, message_id: str) -> None:
        """A message changed: what was read of it a moment ago is old."""
        if self._touched is not None:
            self._touched.add(message_id)

    async def run(self) -> None:
        """Look each second."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.round()
            except RelayError as error:
                _log.info("what is here alone stays so for now: %s", error)
                self._due = True
            except Exception:  # noqa: BLE001 - nothing here may end the copying
                _log.exception("what is here alone stays so for now")
                self._due = True

    async def round(self) -> None:
        """Look once; raises SpoolBroken, SpoolFull, SpoolClosed."""
        await self._notes.flush()
        current, due = self._sending.current, self._is_due()
        if due:
            await self._numbers.read()
            await self._forget_untold()
        if current is not None and due:
            await self._protect(current)
        await self._count()

    async def _count(self) -> None:
        self.unprotected = max(0, await self._spool.unprotected() - len(self._notes))

    def _is_due(self) -> bool:
        now_s = asyncio.get_running_loop().time()
        due = self._due or now_s >= self._anyway_s
        if due:
            self._due, self._anyway_s = False, now_s + ANYWAY_S
        return due

    # ---- settled messages --------------------------------------------------------------------------------------------

    async def _forget_untold(self) -> None:
        """Of a pairing that nobody can adopt, the other end need not hear; it asks for what it has."""
        for number in self._numbers.free_ones():
            if ids := await self._spool.untold(number, UNTOLD):
                self._notes.told(ids)

    # ---- live messages -----------------------------------------------------------------------------------------------

    async def _protect(self, current: Current) -> None:
        await self._count()  # a million take minutes: meanwhile it must not look as if there were none
        if not await self._spool.unprotected():
            return
        for number in self._numbers.others():
            await self._move(current, number)
        await self._copy(current)

    def _goes_on(self, current: Current) -> bool:
        room = current.sender.room_bytes * 2 >= self._pace.bytes_max
        going = room and self._sending.counts(current.number) and not current.sender.ended
        self._due |= not going
        return going

    async def _move(self, current: Current, number: int) -> None:
        """Attach the mail of another number to the one in force, and copy it, part by part."""
        after = ""
        while self._goes_on(current):
            found = await self._spool.standing(number, after, CHUNK)
            ids = [each.message.id for each in found if each.message.copies is not Copies.ONE and not each.moving]
            self._due |= any(each.moving for each in found)
            # No wait between this look and the call: what is void may be given back, what is in force may end.
            if ids and self._numbers.movable(number) and self._sending.counts(current.number):
                await self._spool.reattach(ids, current.number)
                await self._copy(current, after)
            if len(found) < CHUNK:
                return
            after = found[-1].message.id

    async def _copy(self, current: Current, after: str = "") -> None:
        """Send what is attached to the pairing in force and not known to be there, with its history.

        Of ids beyond *after*: what has just been sent and is not noted yet is not read again with each part.
        """
        try:
            while self._goes_on(current):
                self._touched = set()
                found = await self._spool.standing(current.number, after, CHUNK, unconfirmed=True)
                for part in parts([each for each in found if self._is_alone(current, each)]):
                    await self._send(current, part)
                if len(found) < CHUNK:
                    return
                after = found[-1].message.id
        finally:
            self._touched = None

    def _is_alone(self, current: Current, found: Standing) -> bool:
        name = found.message.id
        on_its_way = self._taking(name) or name in self._notes or current.sender.carries(name)
        self._due |= found.moving
        return not found.moving and not on_its_way

    async def _send(self, current: Current, part: Sequence[Standing]) -> None:
        sent: dict[str, asyncio.Future[Kept]] = {}
        items = await asyncio.gather(*map(self._whole, part))
        for each, item in zip(part, items, strict=True):
            # A change that was told before its copy would be undone by it.
            if item is None or not self._goes_on(current) or each.message.id in (self._touched or ()):
                self._due = True
            else:
                sent[each.message.id] = self._send_one(current, each, item)
        if sent:
            await asyncio.wait(sent.values())
        for name, kept in sent.items():
            if kept.result() is Kept.COPIED:
                self._notes.copied(name, current.number)
            else:
                self._due = True

    @staticmethod
    def _send_one(current: Current, each: Standing, item: Accepted) -> "asyncio.Future[Kept]":
        name, stands = each.message.id, each.progress
        kept = current.sender.copy_soon(item, stands[:PROGRESS_MAX], patient=True)
        for where in standing_entries(name, stands[PROGRESS_MAX:]):
            current.tell(where)
        for steps in journey_of(name, each.lines):
            current.tell(steps)
        return kept

    async def _whole(self, found: Standing) -> Accepted | None:
        try:
            body = await self._spool.body(found.message.id)
        except MessageGone:
            return None
        return Accepted(
            message=found.message,
            body=BodyFile(path=str(body), size_bytes=found.size_bytes) if isinstance(body, Path) else body,
            pairing=found.pairing,
        )


def parts(found: Iterable[Standing]) -> list[list[Standing]]:
    """Cut into parts of at most ``PART_BYTES``, one message at least."""
    made: list[list[Standing]] = []
    room = 0
    for each in found:
        if each.size_bytes > room:
            made.append([])
            room = PART_BYTES
        made[-1].append(each)
        room -= each.size_bytes
    return made
