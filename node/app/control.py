"""The running node as the administration interface sees it: gathers what the parts tell, in the interface's words."""

import asyncio
import math
from typing import TYPE_CHECKING

from node import __version__
from node.admin.cluster import ClusterControl, WishKind, WishOrder
from node.admin.control import ClientView, LevelView, Readiness, ReplyView, Status, WayView
from node.admin.everywhere import Everywhere
from node.admin.history import HistoryControl
from node.admin.truth import TruthControl
from node.app.digest import digest_with, key_in
from node.app.erasing import Command, Erasures, Said, left
from node.app.everywhere import Queues
from node.app.history import History
from node.app.owning import NotQuarantined
from node.app.routing import answer, scope_named, shortages
from node.cluster.contract import BudgetUse
from node.delivery.clock import steady_ms, wall_ms
from node.delivery.heard import LastReply
from node.errors import PermanentError
from node.intake.door import Sight
from node.policy.explain import Question, RouteAnswer
from node.policy.scopes import account_scope_name
from node.policy.standing import HEALTHY, Standing, State
from node.spool.contract import Filter, MessageView, Spool
from node.spool.search import spot_of
from node.telemetry.exposition import exposition

if TYPE_CHECKING:
    from node.app.clustered import ClusterSide
    from node.app.node import Node

WEAK = (Sight.OLD_TLS, Sight.CLEAR_AUTH, Sight.BARE_LF, Sight.LENIENT)


class NothingToRelease(PermanentError):  # noqa: N818 - a state of affairs
    """The spool is not quarantined."""


class NodeControl:
    """Implements ``node.admin.control.Control`` over a ``Node``."""

    def __init__(self, node: "Node") -> None:
        """Keep the node; asked only while it runs."""
        self._node = node
        self.spool: Spool = node.spool
        self.cluster: ClusterControl | None = None
        self.everywhere: Everywhere = Queues(node.loaded.node, node.spool, woken=self.wake, hiding=node.hiding)
        self.history: HistoryControl = History(node.loaded.node, node.spool, hiding=node.hiding)
        kept = node.settings.spool / "kept"
        self.erasures = Erasures(
            node.loaded.node,
            kept,
            self._erase,
            self._digest,
            tell=lambda entry: node.admin.tell(entry),  # noqa: PLW0108 - the interface comes after its control
            trust=node.trust,
        )

    def joined(self, side: "ClusterSide") -> None:
        """Take the cluster, whose queues are seen as one from now on."""
        self.cluster = side
        side.erases(self.erasures)
        if side.queues is not None:
            self.everywhere = side.queues
        if side.history is not None:
            self.history = side.history

    @property
    def truth(self) -> TruthControl:
        """Give what became of mail after its 250."""
        return self._node.truth.control

    def readiness(self) -> Readiness:
        """Ready means: can commit mail (operations A16)."""
        reasons = []
        if self._node.retreat.gone:
            reasons.append("stopping" if self._node.stopping else "draining: an operator wishes it")
        if self._node.intake is None:
            reasons.append("not listening yet")
        if self._node.spool.broken:
            reasons.append(f"spool: {self._node.spool.broken}")
        state = self._node.door.state()
        if not state.accepting:
            reasons.append(f"door shut: {state.reason}")
        return Readiness(ready=not reasons, reasons=tuple(reasons))

    async def status(self) -> Status:
        """Give the node in one page."""
        node = self._node
        counts = await self.spool.count()
        ways = self.ways()
        state = node.delivery.state() if node.delivery else None
        ports = node.intake.ports if node.intake and not node.retreat.closed else {}
        return Status(
            node=node.loaded.node,
            version=__version__,
            started_ms=node.started_ms,
            readiness=self.readiness(),
            listeners={
                name: f"{node.settings.listeners[name].address or '*'}:{port}"
                for name, port in ports.items()
                if name in node.settings.listeners
            },
            by_state=counts.by_state,
            oldest_received_ms=counts.oldest_received_ms,
            body_bytes=counts.body_bytes,
            attempts=state.attempts_total if state else 0,
            connections=sum(way.connections for way in ways),
            ways=tuple(ways),
            configuration=node.loaded.text_hash,
            copies=node.protection.shown() if node.protection is not None else None,
            level=node.upgrades.view(),
            credentials=tuple(await asyncio.to_thread(node.credentials.troubles)),
        )

    def ways(self) -> list[WayView]:
        """Give every way with its account's standing, then whatever else rests (pairs, paths, tenants, clients)."""
        if self._node.delivery is None:
            return []
        state = self._node.delivery.state()
        rest = dict(state.standings)
        views = []
        for way in state.ways:
            account = account_scope_name(way.account)
            scopes = [scope for scope in (account, f"{account}#{way.path}") if scope in state.standings]
            standing = max((state.standings[scope] for scope in scopes), key=_severity, default=HEALTHY)
            for scope in scopes:
                rest.pop(scope, None)
            views.append(
                WayView(
                    path=way.path,
                    account=way.account,
                    tenant=way.tenant,
                    state=standing.state.value,
                    reason=standing.reason,
                    until_ms=standing.until_ms or 0,
                    connections=way.connections_open,
                    last=self._reply(way.last),
                )
            )
        for scope, standing in sorted(rest.items()):
            views.append(
                WayView(
                    path=scope.partition("/")[0],
                    account=scope,
                    tenant="",
                    state=standing.state.value,
                    reason=standing.reason,
                    until_ms=standing.until_ms or 0,
                )
            )
        return views

    def _reply(self, last: LastReply | None) -> ReplyView | None:
        if last is None:
            return None
        hider = self._node.hiding.hider
        text = hider.text(last.text) if hider is not None else last.text
        return ReplyView(at_ms=last.at_ms, stage=last.stage.value, code=last.code, enhanced=last.enhanced, text=text)

    async def find(self, which: Filter) -> list[MessageView]:
        """Give messages of this node, newest first."""
        hiding = self._node.hiding
        views = [view for each in hiding.variants(which) for view in await self.spool.find(each)]
        found = {view.message.id: hiding.view(view) for view in views}
        return sorted(found.values(), key=spot_of, reverse=True)[: which.limit]

    async def message(self, message_id: str) -> MessageView | None:
        """Give one message of this node with its journey."""
        view = await self.spool.journey(message_id)
        return None if view is None else self._node.hiding.view(view)

    async def park(self, account: str, why: str, actor: str, *, here: bool = False) -> bool:
        """Take an account, or a scope as listed, out of use: on every node of a cluster, unless ``here``."""
        scope = self._scope(account)
        if scope is None or self._node.delivery is None:
            return False
        if self.cluster is not None and not here:
            reason = why or "parked by an operator"
            await self.cluster.wish(WishOrder(kind=WishKind.PARK, what=scope, reason=reason), actor)
        else:
            self._node.delivery.park(scope, reason=why or "parked by an operator", by=actor)
        return True

    async def resume(self, account: str, why: str, actor: str, *, here: bool = False) -> bool:
        """Put it back into use, and make due now what was put off for the reason it rested for; as ``park``."""
        scope = self._scope(account)
        delivery = self._node.delivery
        if scope is None or delivery is None:
            return False
        if self.cluster is not None and not here:
            order = WishOrder(kind=WishKind.PARK, what=scope, on=False, reason=why or f"{scope} resumed")
            await self.cluster.wish(order, actor)
            return True
        rested_for = {self._node.health.entries[part].reason for part in self._node.health.parts(scope)}
        delivery.resume(scope)
        for reason in sorted(rested_for) or [""]:
            self.resumed(scope, reason, actor, why)
        return True

    def resumed(self, scope: str, rested_for: str, actor: str, why: str) -> None:
        """Make due what was put off because a scope rested; it was resumed here, or by a wish for all nodes."""
        self._node.tokens.ask_again()
        if rested_for:
            self._node.chores.again.soon(rested_for, actor, why or f"{scope} resumed")
        if self._node.delivery is not None:
            self._node.delivery.stir()  # lanes may rest for a minute because of it
        self.wake()

    async def erase(self, address: str, actor: str) -> int:
        """Take an address out of the spool's history and the copy store's; messages changed."""
        changed, protection = 0, self._node.protection
        for name in self._node.hiding.names(address):
            changed += await self.spool.erase(name, actor, wall_ms())
            if protection is not None:
                changed += await protection.copies.erase(name, actor, wall_ms())
        return changed + await self._node.truth.erase(address)

    def _digest(self, text: str) -> str:
        return digest_with(key_in(self._node.settings.spool / "kept"))(text)

    async def _erase(self, command: Command) -> Said:
        changed, protection = await self.erase(command.address, command.actor), self._node.protection
        copies = protection.copies if protection is not None else None
        return Said(changed=changed, waiting=await left(self.spool, copies, command))

    async def part(self, address: str) -> None:
        """See sessions out of an address that moves."""
        await self._node.retreat.part(address)

    def release_spool(self) -> None:
        """Use a quarantined spool after all; raises NothingToRelease."""
        if self._node.protection is None:
            raise NothingToRelease("this node belongs to no cluster: its spool is never quarantined")
        try:
            self._node.protection.release()
        except NotQuarantined as error:
            raise NothingToRelease(str(error)) from None
        if self._node.member is not None:  # what it has forgotten since it was copied may have been sent just now
            self._node.member.budgets.doubt()

    async def finalise(self, why: str, actor: str) -> LevelView:
        """Put the newest level this version knows in force."""
        return await self._node.upgrades.finalise(why, actor)

    def route(self, question: Question) -> RouteAnswer:
        """Say what would become of a message now."""
        node, steady, now_ms = self._node, steady_ms(), wall_ms()
        short = shortages(node.budgets.use(steady), steady, now_ms)
        return answer(question, node.settings, node.hostname, node.health, short, now_ms)

    def budgets(self) -> list[BudgetUse]:
        """Give every limit with its use."""
        return self._node.budgets.use(steady_ms())

    def clients(self) -> list[ClientView]:
        """Give what was seen of each client, and who answers for it."""
        named = self._node.settings.clients
        return [
            ClientView(
                owner=(named[seen.client].owner or "") if seen.client in named else "",
                plan=(named[seen.client].plan or "") if seen.client in named else "",
                client=seen.client,
                last_seen_ms=seen.last_ms,
                messages=seen.counts.get(Sight.MESSAGE, 0),
                weaknesses={name.value: seen.counts[name] for name in WEAK if seen.counts.get(name)},
                addresses=(seen.last_address,) if seen.weak else (),
            )
            for seen in self._node.door.book.report()
        ]

    def wake(self) -> None:
        """Look for due mail now."""
        if self._node.delivery is not None:
            self._node.delivery.wake()

    def metrics(self) -> bytes:
        """Give the Prometheus exposition."""
        return exposition()

    def _scope(self, account: str) -> str | None:
        """Accept what the configuration names, or whatever rests now (its account may be gone from the settings)."""
        if self._node.delivery is None:
            return None
        named = scope_named(self._node.settings, account)
        return named or (account if account in self._node.health.entries else None)


def _severity(standing: Standing) -> tuple[bool, float]:
    """Order standings: what a person must end comes last, then the longest rest."""
    return standing.state is not State.HEALTHY, standing.until_ms if standing.until_ms is not None else math.inf
