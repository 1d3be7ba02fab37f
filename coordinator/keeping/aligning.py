"""Brings rows in line with every view, one run of a pairing at a time, again until it succeeds and nothing changed.

A view may come back to a state it had: what came in meanwhile was kept as another's. So a run counts for the change it
began after, not for the state.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final

from coordinator.keeping.contract import Rows
from coordinator.keeping.jobs import Jobs
from coordinator.keeping.known import Known
from coordinator.ownership.records import PairKey
from coordinator.ownership.views import State, View

_log = logging.getLogger("coordinator")
PAUSE_S: Final = 0.1
PAUSE_MAX_S: Final = 5.0
MAY_BE_MINE: Final = frozenset({State.UNCLAIMED, State.HELD, State.VOID, State.LEAVING})
TAKES_AWAY: Final = frozenset({State.SPARE, State.SPARE_VOID})
"""Rows of such a pairing must leave the spool before anything in it may be attempted."""


class Aligning:
    """What was brought in line; bounded by the views."""

    def __init__(self, known: Known, rows: Rows, jobs: Jobs, *, done: Callable[[], None]) -> None:
        """``done`` is called after every run that succeeded."""
        self._known, self._rows, self._jobs, self._tell = known, rows, jobs, done
        self._changes: Counter[PairKey] = Counter()
        self._done: Counter[PairKey] = Counter()
        self._mine: dict[PairKey, int] = {}
        """Epochs that were, or may have been, mine in this process."""

    def changed(self, key: PairKey) -> None:
        """Remember that a view has changed."""
        self._changes[key] += 1
        view = self._known.view(key)
        if view.state in MAY_BE_MINE or view.epoch <= self._known.first_revision:
            self._mine[key] = view.epoch

    def done(self, key: PairKey) -> bool:
        """Whether rows are in line with the view as it is now."""
        return self._done[key] == self._changes[key]

    def rows_left(self, view: View) -> bool:
        """Whether there may be rows of it in the spool that are another's.

        An epoch made by the other end while this process ran, and never mine, has brought none.
        """
        may_be = view.state in TAKES_AWAY and self._mine.get(view.key) == view.epoch
        return may_be and not self.done(view.key)

    def start(self) -> None:
        """Begin what is due."""
        for key in self._changes:
            if not self.done(key):
                self._jobs.start(("align", key), partial(self._align, key))

    async def _align(self, key: PairKey) -> None:
        pause_s = PAUSE_S
        while not self.done(key):
            change = self._changes[key]
            try:
                await self._rows.align(self._known.view(key))
            except Exception as error:  # noqa: BLE001 - whatever it is, rows must come in line
                _log.warning("rows of %s/%s are not in line yet: %r", key.spool, key.shadow, error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_MAX_S)
            else:
                self._done[key] = change
                self._tell()
