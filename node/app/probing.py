"""Looks whether connectors still match, as a chore of one node in each site: a site has its own address to be known by.

Says loudly when one does not, and when it does again. The conversation is delivery's (``node/delivery/prober.py``).
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from coordinator.keys import Role
from node.delivery.clock import steady_ms
from node.policy.verdict import Outcome, Verdict

if TYPE_CHECKING:
    from node.app.node import Node
    from node.policy.reply import Reply

LOOK_EVERY_S: Final = 5.0
FIRST_AFTER_MS: Final = 10_000
"""The first look after the start: sessions, tokens and addresses have settled by then."""
_log = logging.getLogger(__name__)


def turn_of(nodes: Iterable[str], what: str) -> str:
    """Name the node whose turn something is: one that leaves moves only what was its own (rendezvous hashing)."""
    return max(nodes, key=_weight(what), default="")


def _weight(what: str) -> Callable[[str], bytes]:
    return lambda node: blake2b(f"{what}\0{node}".encode(), digest_size=8).digest()


class Turns:
    """When something is to be done for each tenant, and whether this node does it for its site."""

    def __init__(self, node: "Node") -> None:
        """Keep the node; asked only while it runs."""
        self._node = node
        self._due_ms: dict[str, int] = {}
        self._began_ms = steady_ms()

    def due(self, every_s: Mapping[str, float]) -> list[str]:
        """Give the tenants whose time has come and whose turn is ours; theirs comes again after so many seconds."""
        now_ms = steady_ms()
        due = [name for name in every_s if now_ms >= self._due_ms.get(name, self._began_ms + FIRST_AFTER_MS)]
        for name in due:
            self._due_ms[name] = now_ms + int(every_s[name] * 1000)
        return [name for name in due if self.mine(name)]

    def mine(self, tenant: str) -> bool:
        """Tell whether this node asks for its site; without a look at the store every node does."""
        node = self._node
        cluster, member = node.settings.cluster, node.member
        if cluster is None or member is None:
            return True
        me = node.loaded.node
        there = [name for name, about in cluster.nodes.items() if about.site == node.loaded.site]
        live = [name for name in there if member.joined.keys.member(Role.NODE, name) in member.joined.feed.items]
        return me not in live or turn_of(live, tenant) == me


class Probing:
    """The chore; ``look`` is called every few seconds and does what is due."""

    def __init__(self, node: "Node") -> None:
        """Keep the node; asked only while it runs."""
        self._node = node
        self._turns = Turns(node)
        self._matches: dict[str, bool] = {}

    async def look(self) -> None:
        """Ask every connector whose time has come and whose turn is ours."""
        probes = {
            name: tenant.connector.probe
            for name, tenant in self._node.settings.tenants.items()
            if tenant.connector is not None and tenant.connector.probe is not None
        }
        due = self._turns.due({name: probe.every for name, probe in probes.items()})
        await asyncio.gather(*(self._ask(name, probes[name].to) for name in due))

    async def _ask(self, tenant: str, recipient: str) -> None:
        delivery = self._node.delivery
        found = await delivery.probe(tenant, recipient) if delivery is not None else None
        if found is None:
            return
        verdict, reply = found
        self._node.telemetry.count("relay_probes", tenant=tenant, reason=verdict.reason)
        if verdict.outcome is Outcome.DELIVERED or verdict.alert:
            self._tell(tenant, verdict, reply)

    def _tell(self, tenant: str, verdict: Verdict, reply: "Reply") -> None:
        matches = verdict.outcome is Outcome.DELIVERED
        before, self._matches[tenant] = self._matches.get(tenant), matches
        self._node.telemetry.gauge("relay_connector_matches", float(matches), tenant=tenant)
        detail = {"tenant": tenant, "reason": verdict.reason}
        if not matches:
            _log.error("the connector of tenant %s does not match: %s", tenant, reply, extra=detail)
        elif before is False:
            _log.info("the connector of tenant %s matches again", tenant, extra=detail)
