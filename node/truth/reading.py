"""Reads mailboxes for reports: each every minute, from where it was left, few at a time.

The place is written down after what stands before it was dealt with, so a crash reads some again, and what is known
already changes nothing. A mailbox that may not be read is said once and looked at rarely.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import msgspec

from node.errors import RelayError
from node.spool.database import Database
from node.telemetry.contract import Telemetry
from node.truth import statements
from node.truth.contract import FOLDERS, INBOX, WINDOW_MS, Came, Item, MailboxReader
from node.truth.desk import Desk
from node.truth.errors import CursorExpired, MailboxRefused, MailboxUnavailable, NotThere
from node.truth.store import Store

AT_ONCE: Final = 4
PAGES_MAX: Final = 20
"""Pages of one mailbox in one turn: a mailbox full of something else must not keep the others waiting."""
BACK_MS: Final = 86_400_000
"""Where a mailbox without a place begins: what Exchange Online may still report (facts m365 §2.2) is in it."""
MARGIN_MS: Final = 3_600_000
"""Before the last reading: what was on its way then, and clocks that differ."""
REFUSED_S: Final = 900.0
TRIES_MAX: Final = 60
"""A message Graph lists and does not give for so many turns is passed over: it hides all that came later."""
LOOK_S: Final = 1.0
SYSTEM_NAMES: Final = ("postmaster", "mailer-daemon", "microsoftexchange", "mail-daemon", "maildaemon")
_log = logging.getLogger(__name__)


class Box(NamedTuple):
    """One mailbox to read."""

    tenant: str
    mailbox: str
    every_s: float


class BoxState(msgspec.Struct, frozen=True, kw_only=True):
    """How reading one mailbox goes, for people."""

    mailbox: str
    tenant: str
    read_ms: int
    """When it was last read to the end; 0: never."""
    trouble: str
    """Why not; empty: all is well."""


class Reading:
    """The mailboxes of one node."""

    def __init__(
        self,
        reader: MailboxReader,
        store: Store,
        desk: Desk,
        telemetry: Telemetry,
        *,
        now_ms: Callable[[], int],
        mine: Callable[[str], bool] = lambda _mailbox: True,
    ) -> None:
        """``mine``: whether this node reads a mailbox now, or another one of the cluster does."""
        self._reader, self._store, self._desk, self._telemetry = reader, store, desk, telemetry
        self._now_ms, self._mine = now_ms, mine
        self._boxes: dict[str, Box] = {}
        self._states: dict[str, BoxState] = {}
        self._due_s: dict[str, float] = {}
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._began_ms = now_ms()
        self._failing: dict[str, int] = {}
        """Messages listed and not given; at most one for each folder grows at a time."""

    def set(self, boxes: Iterable[Box]) -> None:
        """Read these from now on."""
        self._boxes = {box.mailbox: box for box in boxes}
        self._states = {name: state for name, state in self._states.items() if name in self._boxes}
        self._due_s = {name: due for name, due in self._due_s.items() if name in self._boxes}

    def states(self) -> list[BoxState]:
        """Say how reading goes."""
        new = {
            name: BoxState(mailbox=name, tenant=box.tenant, read_ms=0, trouble="") for name, box in self._boxes.items()
        }
        return [*(new | self._states).values()]

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            now_s = asyncio.get_running_loop().time()
            due = [box for name, box in self._boxes.items() if self._due_s.get(name, 0.0) <= now_s and self._mine(name)]
            await asyncio.gather(*(self._one(box) for box in due))
            self._gauges()
            await asyncio.sleep(LOOK_S)

    async def _one(self, box: Box) -> None:
        async with self._turn:
            wait_s, trouble = box.every_s, ""
            try:
                await self.read(box)
            except MailboxUnavailable as error:
                wait_s, trouble = max(box.every_s, error.retry_after_s), str(error)
            except MailboxRefused as error:
                wait_s, trouble = max(box.every_s, REFUSED_S), str(error)
            except RelayError as error:
                trouble = str(error)
            except Exception:  # noqa: BLE001 - one mailbox's content must not end the reading of all
                _log.exception("mailbox %s cannot be read for reports", box.mailbox)
                trouble = "a fault of this program; see the log"
            self._due_s[box.mailbox] = asyncio.get_running_loop().time() + wait_s
            self._note(box, trouble)

    def _note(self, box: Box, trouble: str) -> None:
        before = self._states.get(box.mailbox)
        read_ms = self._now_ms() if not trouble else before.read_ms if before is not None else 0
        self._states[box.mailbox] = BoxState(mailbox=box.mailbox, tenant=box.tenant, read_ms=read_ms, trouble=trouble)
        if trouble and (before is None or before.trouble != trouble):
            _log.warning("mailbox %s cannot be read for reports: %s", box.mailbox, trouble)
        elif not trouble and before is not None and before.trouble:
            _log.info("mailbox %s is read again", box.mailbox)

    async def read(self, box: Box) -> None:
        """Read what is new in one mailbox; raises MailboxUnavailable, MailboxRefused, and what the spool raises."""
        for folder in FOLDERS:
            try:
                await self._folder(box, folder)
            except NotThere:
                if folder == INBOX:
                    raise

    async def _folder(self, box: Box, folder: str) -> None:
        key = f"{box.tenant}/{box.mailbox}" + (f"/{folder}" if folder != INBOX else "")
        rows = await self._store.do(lambda database: statements.run(database, "cursor", (key,)))
        cursor = str(rows[0][0]) if rows else ""
        since_ms = _since_ms(self._now_ms(), int(rows[0][1] or 0) if rows else 0)
        for _ in range(PAGES_MAX):
            try:
                page = await self._reader.changes(box.tenant, box.mailbox, folder, cursor, since_ms)
            except CursorExpired:
                if not cursor:
                    raise
                cursor = ""
                continue
            for item in page.items:
                if not await self._item(box, item):
                    # Is it the message, or the mailbox that may not be read any more? That raises.
                    await self._reader.changes(box.tenant, box.mailbox, folder, cursor, since_ms)
                    self._failing.pop(item.id, None)
                    _log.warning("a message in mailbox %s cannot be read and is passed over", box.mailbox)
            cursor = page.cursor
            await self._kept(key, cursor)
            if not page.more:
                return

    async def _item(self, box: Box, item: Item) -> bool:
        """Deal with one message; whether it could be read. Raises as ``read``."""
        if not is_system(item.sender):
            return True
        try:
            data = await self._reader.content(box.tenant, box.mailbox, item.id)
        except NotThere:
            return True  # somebody deleted it meanwhile
        except MailboxRefused:
            return False
        except MailboxUnavailable:
            tries = self._failing[item.id] = self._failing.get(item.id, 0) + 1
            if tries < TRIES_MAX:
                raise
            return False
        self._failing.pop(item.id, None)
        await self._desk.take(data, Came(mailbox=box.mailbox, tenant=box.tenant))
        return True

    async def _kept(self, key: str, cursor: str) -> None:
        row = (key, cursor, self._now_ms())

        def work(database: Database) -> None:
            statements.run(database, "set_cursor", row)

        await self._store.do(work)

    def _gauges(self) -> None:
        now_ms = self._now_ms()
        for state in self.states():
            age_s = (now_ms - max(state.read_ms, self._began_ms)) / 1000
            self._telemetry.gauge("relay_mailbox_read_age_seconds", age_s, tenant=state.tenant, account=state.mailbox)


def _since_ms(now_ms: int, read_ms: int) -> int:
    """Give from when on a mailbox without a place that holds is read: a day, or since it was last read.

    What is older than a report is believed is left: it would change nothing.
    """
    back_ms = now_ms - BACK_MS
    return max(min(back_ms, read_ms - MARGIN_MS), now_ms - WINDOW_MS) if read_ms else back_ms


def is_system(sender: str) -> bool:
    """Tell whether a sender's name is one reports come from; other people's mail is not read at all."""
    local = sender.partition("@")[0]
    return not local or local.startswith(SYSTEM_NAMES)
