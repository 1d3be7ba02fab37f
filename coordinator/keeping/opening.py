"""Opens this node's spool in each session, after judging it, and tells how far it has come (``spools.py``)."""

import logging
from collections.abc import Callable

from coordinator.keeping.contract import Hooks, Rows
from coordinator.keeping.known import Known
from coordinator.keeping.sending import Sending
from coordinator.ownership import spools
from coordinator.ownership.spools import Judged, Verdict

_log = logging.getLogger("coordinator")


class Opening:
    """The verdict on the spool, and its record's life."""

    def __init__(self, known: Known, rows: Rows, sending: Sending, hooks: Hooks, *, now_ms: Callable[[], int]) -> None:
        """Judge nothing yet."""
        self.verdict: Judged | None = None
        self._known, self._rows, self._sending, self._hooks, self._now_ms = known, rows, sending, hooks, now_ms
        self._noted_ms, self._once, self._released, self._refused = 0, False, False, ""

    @property
    def judged(self) -> bool:
        """Whether it was opened once in this process, and nothing was found against it since."""
        return self._once and (self.verdict is None or self.verdict.verdict is Verdict.GOOD)

    def release(self) -> None:
        """Let the next opening pass although the spool is behind: an operator's word."""
        self._released = True

    async def look(self) -> None:
        """Open the spool if it is not open in this session, else tell how far it has come when that is due."""
        if self._known.opened:
            await self._note()
        else:
            await self._open()

    async def _open(self) -> None:
        known, told = self._known, await self._rows.told()
        sequence = await self._rows.sequence()
        item, inc = known.spool, known.inc
        if not inc or not known.fresh:  # who else has it may be news still to come
            return
        self.verdict = judged = spools.judge(item, known.me, known.seats, told=told)
        if not self._passes(judged):
            return
        await self._rows.tell(sequence)
        self._noted_ms = self._now_ms()
        opening = spools.to_open(known.keys, known.me, item, judged.known, known.seats, sequence=sequence, inc=inc)
        if await self._sending.spool(opening) and known.opened:
            self._good()

    def _good(self) -> None:
        self._once, self._released, self._refused = True, False, ""
        if self.verdict is None or self.verdict.verdict is not Verdict.GOOD:
            self.verdict = Judged(verdict=Verdict.GOOD)

    def _passes(self, judged: Judged) -> bool:
        if judged.verdict is Verdict.GOOD or (judged.verdict is Verdict.BEHIND and self._released):
            return True
        if judged.text != self._refused:
            self._refused = judged.text
            _log.error("this spool is not used (%s): %s", judged.verdict, judged.text)
            behind = judged.verdict is Verdict.BEHIND
            (self._hooks.quarantined if behind else self._hooks.refuse)(judged.text)
        return False

    async def _note(self) -> None:
        self._good()  # also when the answer to the opening was lost and the watch told of it
        known, now_ms = self._known, self._now_ms()
        if now_ms - self._noted_ms < spools.NOTE_MS * 4 // 5:
            return
        sequence, item = await self._rows.sequence(), known.spool
        if item is None or not spools.due(item, sequence=sequence, noted_ms=self._noted_ms, now_ms=now_ms):
            return
        await self._rows.tell(sequence)
        self._noted_ms = now_ms
        if known.opened:
            await self._sending.spool(spools.to_note(known.keys, known.me, item, sequence=sequence, inc=known.inc))
