"""Builds the room that hears of mail which failed after its 250, and joins it to the door, delivery and the spool."""

import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from coordinator.peers.contract import Handler
from node.app.digest import key_in
from node.app.suppressing import Suppressing
from node.app.truth_control import TruthControl
from node.app.truth_peers import Elsewhere
from node.delivery.assembly import reporting_of
from node.delivery.clock import wall_ms
from node.errors import ConfigurationError
from node.m365.https import Https
from node.policy.classify import Classifier
from node.policy.envelope import NewMessage, lane_of
from node.policy.return_path import KEY_LEAST_CHARS, ReturnPath, Tokens
from node.policy.suppression import Mode, Rules
from node.policy.verdict import Verdict
from node.settings.clouds import cloud_of
from node.settings.mail import mailboxes_read
from node.settings.model import Settings
from node.settings.replies import reply_rows
from node.settings.rules import return_addresses
from node.settings.secrets import read_secret
from node.settings.ways import graph_flow
from node.spool.contract import Accepted, MessageView
from node.truth.again import Again
from node.truth.arriving import Arriving
from node.truth.aside import Aside
from node.truth.desk import Desk
from node.truth.digest import Digests
from node.truth.graph import GraphMailboxes
from node.truth.news import News
from node.truth.reading import Box, Reading
from node.truth.store import Store
from node.truth.telling import Teller, Telling
from node.truth.tracing import NdrTracer
from node.truth.waiting import Waiting

if TYPE_CHECKING:
    from node.app.node import Node

KEY: Final = "return-path.key"
DIGEST_LOOK_S: Final = 5.0
_log = logging.getLogger(__name__)


class Truth:
    """The room as it is wired into one node."""

    def __init__(self, node: "Node") -> None:
        """Build it; nothing is opened. Raises ConfigurationError for settings that cannot be used."""
        self._node = node
        settings = node.settings
        self.store = Store(settings.spool)
        self.aside, self.news, self.waiting = Aside(self.store), News(self.store), Waiting(self.store)
        tracer = NdrTracer(node.telemetry, node.loaded.node)
        self._teller = Teller(
            _telling(settings, node.hostname), self.news, self._append, node.telemetry, self._woken, tracer=tracer
        )
        self.desk = Desk(
            node.spool,
            self.aside,
            self.waiting,
            self._teller,
            node.telemetry,
            now_ms=wall_ms,
            tracer=tracer,
        )
        self.desk.learn = self._learn
        self._again = Again(self.desk, self.waiting, now_ms=wall_ms)
        self._digests = Digests(self.news, self._teller, self._append, node.telemetry, self._woken)
        self.arriving: Arriving | None = None
        self._https = Https(settings.egress, connections=4)
        self._mailboxes = GraphMailboxes(self._https, node.tokens, {}, graph_flow)
        self._elsewhere = Elsewhere(self.desk, node.member) if node.member is not None else None
        self.desk.elsewhere, self.desk.usable = self._elsewhere, self._usable
        self.telemetry, self.runtime = node.telemetry, settings.runtime
        self.control, self.suppressing = TruthControl(self), Suppressing(self)
        self.reading = Reading(self._mailboxes, self.store, self.desk, node.telemetry, now_ms=wall_ms, mine=self._mine)

    async def start(self, stack: AsyncExitStack) -> None:
        """Open the store and begin; needs the spool open and delivery built. Closed through ``stack``."""
        await self.store.open()
        stack.push_async_callback(self.store.close)
        if self.store.note:
            _log.error("truth.db is damaged and was begun anew: %s", self.store.note)
        self.arriving = Arriving(self.desk)
        stack.push_async_callback(self.arriving.settled)
        self.reload()
        self._node.inflow.returned = self.arriving
        stack.push_async_callback(self._https.close)
        standing = (
            (self._tell, "digests"),
            (self.reading.run, "mailboxes"),
            (self._again.run, "reports that wait"),
            (self.suppressing.run, "suppression"),
        )
        for work, name in standing:
            stack.push_async_callback(_ended, asyncio.create_task(work(), name=name))

    def reload(self) -> None:
        """Take what the settings say now. Raises ConfigurationError if a key cannot be read."""
        node, settings = self._node, self._node.settings
        path = return_path(settings, node.settings.spool / "kept")
        self.desk.path = path
        self.desk.classifier = Classifier(first=reply_rows(settings.replies))
        self._teller.telling = _telling(settings, node.hostname)
        self._digests.every_s = settings.bounces.digest
        self._mailboxes.roots = {name: cloud_of(tenant).graph for name, tenant in settings.tenants.items()}
        self.reading.set(boxes_of(settings))
        if self.arriving is not None:
            self.arriving.addresses = return_addresses(settings)
        if node.delivery is not None:
            node.delivery.returning(path)

    @property
    def rules(self) -> Rules:
        """How the suppression list works now."""
        return self._teller.telling.suppression

    def routes(self) -> dict[str, Handler]:
        """Give what other nodes may ask."""
        return self._elsewhere.routes() if self._elsewhere is not None else {}

    def _mine(self, mailbox: str) -> bool:
        """Tell whether this node reads a mailbox; one that does not use its spool reads none."""
        return self._usable() and (self._elsewhere is None or self._elsewhere.reads(mailbox))

    def _usable(self) -> bool:
        protection = self._node.protection
        return self._elsewhere is None or (protection is not None and protection.gate.open)

    async def erase(self, address: str) -> int:
        """Take an address out of what the room keeps; rows changed."""
        return await self.news.erase(address) + await self.waiting.erase(address) + await self.aside.erase(address)

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(DIGEST_LOOK_S)
            if self._digests.every_s <= 0:
                continue
            try:
                await self._digests.send(wall_ms())
            except Exception:  # noqa: BLE001 - owners are told next time; nothing else may end for it
                _log.exception("digests could not be sent")

    async def _append(self, item: Accepted) -> None:
        store = self._node.protection or self._node.spool
        await store.append(item)

    def _woken(self, message: NewMessage) -> None:
        if self._node.delivery is not None:
            self._node.delivery.wake({lane_of(message, one.direction) for one in message.recipients})

    def _learn(self, view: MessageView, way: str, verdict: Verdict) -> None:
        if self._node.delivery is not None:
            self._node.delivery.heard(way, view.message, verdict)


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def boxes_of(settings: Settings) -> list[Box]:
    """Give the mailboxes that are read for reports."""
    found: list[Box] = []
    for name, tenant in settings.tenants.items():
        if tenant.ndrs is not None:
            found += [Box(name, mailbox, tenant.ndrs.every) for mailbox in mailboxes_read(tenant)]
    return found


def return_path(settings: Settings, kept: Path) -> ReturnPath | None:
    """Give the return path with its keys; None where none is configured. Raises ConfigurationError."""
    addresses = return_addresses(settings)
    if not addresses.by_tenant:
        return None
    found: list[bytes] = []
    for name, ref in (("key", settings.bounces.key), ("former_key", settings.bounces.former_key)):
        if ref is not None:
            text = read_secret(ref).reveal()
            if len(text) < KEY_LEAST_CHARS:
                raise ConfigurationError([f"bounces.{name}: a key has at least {KEY_LEAST_CHARS} characters"])
            found.append(text.encode())
    return ReturnPath(addresses, Tokens([*found, key_in(kept, KEY)]))


def _telling(settings: Settings, hostname: str) -> Telling:
    reporting, rules = reporting_of(settings, hostname), settings.suppression
    return Telling(
        hostname=hostname,
        senders=reporting.senders,
        domains=reporting.domains,
        plans=reporting.plans,
        fallback=settings.bounces.fallback or "",
        suppression=Rules(mode=Mode(rules.mode), times=rules.times, keep_ms=int(rules.keep * 1000)),
    )
