"""Looks how mail by the connector arrives, as a chore of one node in each site: a message to a mailbox that is read.

It goes through the queue like any mail, within every limit, but by the connector or not at all. What its header says
is told loudly and rests no path: it was seen in published mail and is in no document of Microsoft's.
"""

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Final

import uuid_utils

from node.app.probing import Turns
from node.check.letter import letter_for
from node.delivery.assembly import reporting_of
from node.delivery.clock import wall_ms
from node.delivery.looking import Archive, Looker, LookFailed
from node.policy.envelope import RecipientState, lane_of
from node.policy.sample import Arrived, Seen, sample_of, seen_in
from node.settings.clouds import cloud_of
from node.settings.pathways import PathKind
from node.settings.ways import graph_flow
from node.spool.contract import Accepted

if TYPE_CHECKING:
    from node.app.node import Node

TAKEN_S: Final = 120.0
"""How long a sample is waited for until Microsoft has taken it."""
ARRIVAL_S: Final = 300.0
"""And then until it lies in its mailbox."""
LOOK_S: Final = 2.0
WHY: Final = "The mail relay sent this to see how mail by its connector arrives. It can be deleted."
_ENDED: Final = frozenset({RecipientState.DELIVERED, RecipientState.BOUNCED, RecipientState.DEAD, RecipientState.HELD})
NOT_TAKEN, NOT_FOUND, NOT_READ = "sample_not_taken", "sample_not_found", "mailbox_not_read"
_log = logging.getLogger(__name__)


class Arrivals:
    """The chore; ``look`` is called every few seconds and does what is due."""

    def __init__(self, node: "Node") -> None:
        """Keep the node; asked only while it runs."""
        self._node = node
        self._turns = Turns(node)
        self._looker = Looker(node.graph, node.tokens)
        self._found: dict[str, str] = {}

    def strangers(self) -> tuple[str, ...]:
        """Name the tenants whose mail by the connector arrived as anybody's when last looked at from here."""
        return tuple(tenant for tenant, what in self._found.items() if what == Arrived.ANYBODYS)

    async def look(self) -> None:
        """Send a sample for every tenant whose time has come and whose turn is ours, and look where it arrived."""
        probes = {
            name: tenant.connector.probe
            for name, tenant in self._node.settings.tenants.items()
            if tenant.connector is not None and tenant.connector.probe is not None
        }
        led = PathKind.CONNECTOR in self._node.settings.routes.kinds
        every = {name: probe.mailbox_every for name, probe in probes.items() if led and probe.mailbox is not None}
        for gone in self._found.keys() - {name for name in every if self._turns.mine(name)}:
            self._forget(gone)
        due = self._turns.due(every)
        await asyncio.gather(*(self._one(name, str(probes[name].mailbox)) for name in due))

    async def _one(self, tenant: str, mailbox: str) -> None:
        queue_id, message_id = await self._sent(tenant, mailbox)
        if not await self._taken(queue_id):
            self._tell(tenant, mailbox, NOT_TAKEN, "")
            return
        seen = await self._arrived(tenant, mailbox, message_id)
        self._tell(tenant, mailbox, *((seen, "") if isinstance(seen, str) else (seen.arrived.value, seen.said)))

    async def _sent(self, tenant: str, mailbox: str) -> tuple[str, str]:
        """Put a sample into the queue; give its queue id and its Message-ID."""
        node, now_ms, queue_id = self._node, wall_ms(), str(uuid_utils.uuid7())
        sender = reporting_of(node.settings, node.hostname).senders[tenant]
        message_id = f"<relay-sample-{queue_id}@{sender.rpartition('@')[2]}>"
        body = letter_for(sender, mailbox, now_ms, message_id, WHY)
        message = sample_of(
            queue_id=queue_id,
            message_id=message_id,
            tenant=tenant,
            sender=sender,
            mailbox=mailbox,
            size_bytes=len(body),
            now_ms=now_ms,
        )
        await (node.protection or node.spool).append(Accepted(message=message, body=body))
        if node.delivery is not None:
            node.delivery.wake({lane_of(message, one.direction) for one in message.recipients})
        return queue_id, message_id

    async def _taken(self, queue_id: str) -> bool:
        for _ in range(math.ceil(TAKEN_S / LOOK_S)):
            view = await self._node.spool.journey(queue_id)
            if view is None:
                return False  # handed over to another node meanwhile
            state = view.recipients[0].state
            if state in _ENDED:
                return state is RecipientState.DELIVERED
            await asyncio.sleep(LOOK_S)
        return False

    async def _arrived(self, tenant: str, mailbox: str, message_id: str) -> Seen | str:
        """Wait for a sample in its mailbox; give what its header says, or why it was not seen."""
        root = cloud_of(self._node.settings.tenants[tenant]).graph
        place, trouble = Archive(graph=root, flow=graph_flow(tenant), mailbox=mailbox), NOT_FOUND
        for _ in range(math.ceil(ARRIVAL_S / LOOK_S)):
            wait_s = LOOK_S
            try:
                head = await self._looker.head(place, message_id)
                if head:
                    return seen_in(head)
                trouble = NOT_FOUND
            except LookFailed as error:
                trouble, wait_s = NOT_READ, max(LOOK_S, min(error.after_s, ARRIVAL_S))
            await asyncio.sleep(wait_s)
        return trouble

    def _tell(self, tenant: str, mailbox: str, what: str, said: str) -> None:
        before = self._found.get(tenant)
        detail = {"tenant": tenant, "reason": what}
        self._node.telemetry.count("relay_samples", tenant=tenant, reason=what)
        if what in (Arrived.OURS, Arrived.ANYBODYS):
            self._found[tenant] = what
            self._gauge(tenant, float(what == Arrived.OURS))
        if what == Arrived.ANYBODYS:
            text = "mail by the connector of tenant %s arrives as anybody's (%s): no connector matches"
            _log.error(text, tenant, said, extra=detail)
        elif what == Arrived.OURS:
            if before == Arrived.ANYBODYS:
                _log.info(
                    "mail by the connector of tenant %s arrives as the organisation's again", tenant, extra=detail
                )
        else:
            _log.warning("how mail by the connector of tenant %s arrives in %s is not known: %s", tenant, mailbox, what)

    def _forget(self, tenant: str) -> None:
        """Another node looks now, or nobody does: what was seen here is no news any more."""
        del self._found[tenant]
        self._gauge(tenant, math.nan)

    def _gauge(self, tenant: str, value: float) -> None:
        self._node.telemetry.gauge("relay_connector_arrives_as_ours", value, tenant=tenant)
