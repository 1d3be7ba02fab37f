"""One node: builds every part, starts them in order, runs until told to stop, stops them in the opposite order."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from typing import Final

from node.admin.server import AdminServer
from node.app import administration as desk
from node.app.alarming import Alarming
from node.app.chores import Chores
from node.app.control import NodeControl
from node.app.credentials import Credentials
from node.app.digest import digest_with, key_in
from node.app.first_run import FirstRun
from node.app.hiding import Hiding, hider_of
from node.app.hooks import hooks_of
from node.app.inflow import Inflow
from node.app.keeping import Keeping
from node.app.levels import LevelWatch, memory_limit_bytes
from node.app.limits import budget_limits
from node.app.member import Member
from node.app.parts import apps_of, marks_of, plans_of
from node.app.product import PRODUCT, Product
from node.app.protection import Protection
from node.app.retreat import Retreat
from node.app.truth import Truth
from node.app.upgrades import upgrades_of
from node.audit import Audit
from node.cluster.budgets import EmbeddedBudgets
from node.cluster.contract import SETTLE_HORIZON_MS
from node.delivery.clock import steady_ms, wall_ms
from node.delivery.service import Delivery
from node.delivery.transaction import always
from node.delivery.wiring import Wiring
from node.intake.authentication import Authenticator
from node.intake.door import DoorState
from node.intake.front import Front, make_front
from node.intake.local import LocalDoor
from node.m365.entra import Entra
from node.m365.graph import Graph
from node.m365.https import Https
from node.m365.tokens import TokenSource
from node.policy.health import Change, HealthBook
from node.policy.levels import Shut
from node.settings.reader import Loaded
from node.settings.reload import compare
from node.settings.rules import intake_rules, users
from node.spool.sqlite import SqliteSpool
from node.telemetry import build

GRAPH_CONNECTIONS: Final = 64
"""To Graph at once, for all mailboxes; each has at most four."""
HAND_OVER_S: Final = 5.0
"""How long giving mail to other nodes may take at a stop."""
_log = logging.getLogger(__name__)


class Node:
    """A node from its settings. ``run`` returns when it has stopped."""

    def __init__(self, loaded: Loaded, product: Product = PRODUCT) -> None:
        """Build what needs no disk and no network. Raises ConfigurationError."""
        settings = self.settings = loaded.settings
        self.loaded = loaded
        self.hostname = settings.hostname or loaded.node
        self.started_ms = wall_ms()
        self.telemetry = build(settings, role="node", node=loaded.node)
        self.spool = SqliteSpool(settings.spool, now_ms=wall_ms)
        self.keeping = Keeping(settings.spool)
        self.hiding, self.oidc = Hiding(), desk.oidc_of(settings, self.hostname)
        self.trust = desk.trust_of(settings, loaded.node, self.oidc)
        limits = budget_limits(settings)
        self.entra = Entra(settings.egress)
        self.graph = Graph(Https(settings.egress, connections=GRAPH_CONNECTIONS))
        self.retreat = Retreat(self)
        self.member = Member(loaded, limits, hooks_of(self), product) if settings.cluster is not None else None
        self.upgrades = upgrades_of(product, self.spool, self.member.side.level if self.member is not None else None)
        self.budgets = (
            self.member.budgets
            if self.member is not None
            else EmbeddedBudgets(limits, started_ms=steady_ms(), on_free=self.freed)
        )
        self.credentials = Credentials(self)
        self.tokens = TokenSource(apps_of(settings), self.entra, now_ms=wall_ms, on_change=self.credentials.token_told)
        self.authenticator = Authenticator(users(settings), now_ms=wall_ms)
        self.health = HealthBook()
        self._plans = plans_of(settings, self.hostname, loaded.node)
        self.delivery: Delivery | None = None
        self.intake: Front | None = None
        self.protection: Protection | None = None
        """Who keeps second copies; None: this node has no peers, or has not started."""
        self.inflow = Inflow(self.spool, self._wake)
        self.door = LocalDoor(self.inflow, self.budgets, verifier=self.authenticator)
        self.levels = LevelWatch(
            self.spool, settings.spool, marks_of(settings, memory_limit_bytes()), self.telemetry, self._shut
        )
        self.control = NodeControl(self)
        self.admin_tls = desk.admin_tls(settings, self.hostname)
        self.syslog = desk.syslog_of(settings, self.hostname, self.telemetry)
        audit = Audit(settings.spool / "audit", loaded.node, self.syslog.say if self.syslog is not None else None)
        self.seconding = desk.seconding_of(settings)
        self.admin = AdminServer(self.control, desk.tokens_of(settings), audit, self.seconding, self.oidc)
        self.first_run = FirstRun(self.admin.once, settings)
        self.chores = Chores(self)
        self.alarming = Alarming(self, settings.alarms) if settings.alarms is not None else None
        self.truth = Truth(self)
        self.stopping, self.shut_by = False, Shut.NO
        self._stop_by_s = 0.0
        self._stop = asyncio.Event()

    # -- life

    async def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Start, serve until ``stop``, stop. If a standing task ends, the node stops and raises what ended it."""
        async with AsyncExitStack() as stack:
            await self._start(stack)
            on_ready()
            await self._serve()

    async def _start(self, stack: AsyncExitStack) -> None:
        """Open each part and note how to close it; what is started last is stopped first."""
        settings = self.settings
        stack.callback(self.telemetry.close)
        stack.push_async_callback(self.authenticator.close)
        settings.spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings.runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        await self.upgrades.begin()
        await self.spool.open(wall_ms())
        stack.push_async_callback(self.spool.close)
        stack.push_async_callback(self.tokens.close)
        stack.push_async_callback(self.graph.close)
        if self.alarming is not None:
            stack.push_async_callback(self.alarming.close)
        if self.oidc is not None:
            stack.push_async_callback(self.oidc.provider.close)
        host_since_ms = self.keeping.prepare()
        self.hiding.hider = hider_of(settings, settings.spool / "kept")
        attempts = await self.spool.recover(wall_ms(), wall_ms() + SETTLE_HORIZON_MS)
        kept = self.keeping.counters()
        self.budgets.rebuild(attempts, steady_ms(), kept=kept, host_since_ms=host_since_ms)
        stack.push_async_callback(self.chores.keep)
        self.health = self.keeping.standings(self.loaded.site)
        if self.member is not None:
            self.protection = self.inflow.store = self.member.protect(self.spool)
            self._shut(Shut.NO)
        self.delivery = self._delivery()
        await self.truth.start(stack)
        await self.delivery.start()
        if self.member is not None:
            self.delivery.fence()
            stack.push_async_callback(self.member.close)
            await self.member.start(self.health, lambda: tuple(self.settings.tenants))
            self.control.joined(self.member.side)
            stack.push_async_callback(self._hand_over)
        stack.push_async_callback(self._end_delivery)
        context = self.admin_tls.context if self.admin_tls is not None else None
        await desk.listen(self.admin, settings, self.loaded.node, self.hostname, context)
        stack.push_async_callback(self.admin.close)
        self.first_run.begin(settings, self.admin.port)
        stack.callback(self.first_run.end)
        await self.levels.measure(wall_ms())
        front = make_front(settings, self.door, self.telemetry, hostname=self.hostname)
        await front.start()
        self.intake = front  # not before it listens: that is what "ready" rests on
        stack.push_async_callback(self._close_intake)

    async def _serve(self) -> None:
        standing = [asyncio.create_task(self.levels.run(wall_ms), name="levels"), *self.chores.tasks()]
        standing.append(asyncio.create_task(self.retreat.follow(), name="wishes to drain"))
        stop = asyncio.create_task(self._stop.wait(), name="stop")
        shared = self.member.tasks if self.member is not None else ()
        try:
            done, _ = await asyncio.wait([stop, *standing, *shared], return_when=asyncio.FIRST_COMPLETED)
            self.stopping = True
            _log.info("stopping")
            if stop not in done:
                self.retreat.hurry()  # something is broken: whoever can go elsewhere shall
            await self.retreat.leave(self._left_s() / 2)  # half of the time: attempts under way are left the other half
        finally:
            for task in (stop, *standing):
                task.cancel()
            await asyncio.gather(stop, *standing, return_exceptions=True)
        for task in done - {stop}:
            task.result()  # raises what ended it

    def stop(self) -> None:
        """End ``run``: doors first, then attempts under way, then the disk. Said again: wait for no client."""
        if self._stop.is_set():
            self.retreat.hurry()
        self._stop.set()

    def reload(self, loaded: Loaded) -> list[str]:
        """Put a new configuration in force; what waits for a restart is returned, one line each.

        Raises ConfigurationError when it cannot be used; then nothing has changed.
        """
        settings = loaded.settings
        assert self.intake is not None and self.delivery is not None  # noqa: S101, PT018 - only called while running
        waiting = compare(self.settings, settings).needs_restart
        plans, apps = plans_of(settings, self.hostname, loaded.node), apps_of(settings)
        intake_rules(settings, self.hostname)  # a fault in them must be told before anything has changed
        limits, passwords = budget_limits(settings), users(settings)
        hider = hider_of(settings, self.settings.spool / "kept")
        self.intake.reload(settings)
        self.authenticator.replace(passwords)
        self.tokens.reload(apps)
        desk.put_in_force(self.admin, self.trust, self.seconding, settings)
        if self.member is not None:
            self.member.reload(loaded, limits)
        else:
            self.budgets.reload(limits, steady_ms())
        self.delivery.reload(plans)
        self.levels.marks = marks_of(settings, memory_limit_bytes())
        self.settings, self.loaded, self.hiding.hider = settings, loaded, hider
        self.first_run.changed(settings)
        self.truth.reload()
        self.chores.again.configured()
        return waiting

    async def _close_intake(self) -> None:
        if self.intake is not None:
            await self.intake.close()

    async def _hand_over(self) -> None:
        """Another node that has this one's mail shall deliver it, instead of waiting for a return."""
        if self.protection is not None and not await self.protection.give(min(HAND_OVER_S, self._left_s() / 2)):
            _log.warning("not all mail was given to other nodes; they take it over when this node is gone for a while")

    async def _end_delivery(self) -> None:
        if self.delivery is not None:
            await self.delivery.close(self._left_s())

    def _left_s(self) -> float:
        """What is left of ``stop_timeout``, counted from the first call; never less than a second."""
        now_s = asyncio.get_running_loop().time()
        self._stop_by_s = self._stop_by_s or now_s + self.settings.stop_timeout
        return max(1.0, self._stop_by_s - now_s)

    # -- parts

    def _delivery(self) -> Delivery:
        wiring = Wiring(
            spool=self.spool,
            budgets=self.budgets,
            telemetry=self.telemetry,
            tokens=self.tokens,
            graph=self.graph,
            health=self.health,
            on_change=self._standing_changed,
            digest=digest_with(key_in(self.settings.spool / "kept")),
            may_send=self._may_send if self.member is not None else always,
            second=self.protection,
        )
        return Delivery(self._plans, wiring)

    # -- news between parts

    def _wake(self, lanes: Iterable[str]) -> None:
        if self.delivery is not None:
            self.delivery.wake(lanes)

    def freed(self, account: str) -> None:
        """Something of an account came free."""
        if self.delivery is not None:
            self.delivery.freed(account)

    def _may_send(self) -> bool:
        protection, member = self.protection, self.member
        return protection is not None and member is not None and protection.gate.open and member.budgets.may_send()

    def _shut(self, shut: Shut) -> None:
        self.shut_by = shut
        reason = shut.value or (self.protection.obstacle if self.protection is not None else "")
        self.door.set_state(DoorState(accepting=not reason, reason=reason))

    def owned(self) -> None:
        """Hear that what may be taken in, or what there is to say of copies, may have changed."""
        self._shut(self.shut_by)
        if self.member is not None:
            self.member.budgets.mover.due()

    def _standing_changed(self, change: Change) -> None:
        self.standing_logged(change)
        if self.member is not None:
            self.member.health.changed(change)

    def standing_logged(self, change: Change) -> None:
        """Say that a scope's standing changed."""
        after = change.after
        level = logging.WARNING if after.blocks(wall_ms()) else logging.INFO
        detail = {
            "scope": change.scope,
            "state": after.state.value,
            "reason": after.reason,
            "until_ms": after.until_ms or 0,
        }
        _log.log(level, "%s is %s", change.scope, after.state.value, extra=detail)
