"""The back door as one object: builds its parts, starts and stops them in order, and answers what it is doing.

Sees every part of the room and decides nothing about mail. The node's composition root hands in what belongs to
other rooms: spool, budgets, tokens, telemetry, the health book.
"""

import asyncio
from collections.abc import Iterable

from node.delivery.addressing import Addressing
from node.delivery.attempt import Runner
from node.delivery.clock import wall_ms
from node.delivery.dispatcher import Dispatcher
from node.delivery.endpoint import Endpoint
from node.delivery.fair import Fair
from node.delivery.judge import Judge
from node.delivery.lanes import Lanes
from node.delivery.learning import Learner
from node.delivery.leftovers import Leftovers
from node.delivery.looking import Looker
from node.delivery.opener import Opener
from node.delivery.pool import Pool
from node.delivery.prober import Prober
from node.delivery.proven import Proven
from node.delivery.reporter import Reporter
from node.delivery.second import Alone
from node.delivery.settle import Settler
from node.delivery.state import DeliveryState, describe
from node.delivery.sweep import Sweeper
from node.delivery.tracing import Tracer
from node.delivery.verifier import Verifier
from node.delivery.ways import Ways
from node.delivery.wiring import Plans, Wiring
from node.policy.envelope import NewMessage
from node.policy.health import Change
from node.policy.reply import Reply
from node.policy.return_path import ReturnPath
from node.policy.route import Way
from node.policy.verdict import Verdict


class Delivery:
    """The back door."""

    def __init__(self, plans: Plans, wiring: Wiring) -> None:
        """Build everything; nothing moves before ``start``."""
        self._wiring = wiring
        self._plans = plans
        self._opener = Opener(wiring.dialer, wiring.tokens, wiring.graph, wiring.mx)
        self._pools = {name: self._pool(endpoint) for name, endpoint in plans.endpoints.items()}
        self._retired: list[Pool] = []
        classifier, health = plans.classifier, wiring.health
        self._ways = Ways(plans.directory, self._pools, health, wiring.budgets, self._changed, classifier)
        second = wiring.second or Alone(wiring.spool)
        tracer = Tracer(wiring.telemetry, plans.node, wiring.digest, addresses=plans.span_addresses, epoch=second.epoch)
        self._judge = Judge(classifier, plans.plans, self._ways.rival, wiring.unit_random)
        self._reporter = Reporter(wiring.spool, second, plans.reporting, tracer, self._woken)
        learner = Learner(health, self._ways.doubts, self._ways.trials, self._changed)
        self._proven = Proven(wiring.spool, self._reporter, wiring.telemetry)
        self._fenced = False
        looker = Looker(wiring.graph, wiring.tokens) if wiring.graph and wiring.tokens else None
        self._verifier = Verifier(wiring.spool, looker, self._proven, lambda: not self._fenced)
        self._verifier.archives, self._verifier.settings = plans.archives, plans.verify
        self._settler = Settler(wiring.spool, self._judge, learner, self._reporter, tracer, self._verifier)
        addressing = Addressing(wiring.spool, wiring.budgets, self._ways.unfit)
        self._runner = Runner(wiring.spool, wiring.budgets, self._settler, tracer, second, wiring.may_send, addressing)
        fair = Fair()
        self._lanes = Lanes(wiring.spool, fair, self._kick)
        self._settler.lanes = self._proven.lanes = self._lanes
        self._dispatcher = Dispatcher(self._lanes, fair, self._ways, self._runner, self._settler, tracer)
        self._prober = Prober(self._opener, classifier, health, self._changed)
        self._fenced = False
        self._sweeper = Sweeper(
            wiring.spool, self._lanes, self._settler, self._dispatcher.holds, lambda: not self._fenced
        )
        self._leftovers: Leftovers | None = None
        if wiring.graph is not None and wiring.tokens is not None:
            self._leftovers = Leftovers(wiring.graph, wiring.tokens, self._drafting)
        self._working: list[asyncio.Task[None]] = []
        self._parting: set[asyncio.Task[None]] = set()

    # -- life

    async def start(self) -> None:
        """Look at the whole spool once and begin. ``spool.open``, ``spool.recover`` and budgets come before."""
        self._dispatcher.stopped = False
        await self._sweeper.look()
        self._working = [asyncio.create_task(self._sweep()), asyncio.create_task(self._verifier.run())]
        if self._leftovers is not None:
            self._working.append(asyncio.create_task(self._leftovers.run()))
        self._kick()

    async def _sweep(self) -> None:
        while True:
            await self._sweeper.wait(self._plans.poll_s)
            await self._sweeper.look()
            self._tidy()
            self._kick()

    def _tidy(self) -> None:
        for pool in self._pools.values():
            pool.sweep()
            endpoint = pool.endpoint
            self._wiring.telemetry.gauge(
                "relay_connections_open", pool.open_connections, path=endpoint.path, account=endpoint.account
            )
        for pool in self._retired:
            pool.close_idle()
        self._retired = [pool for pool in self._retired if pool.busy]

    def drain(self) -> None:
        """Start no further attempt; those under way go on. ``close`` ends it, ``start`` undoes it."""
        self._dispatcher.stopped = True

    def fence(self) -> None:
        """Past the session's deadline: no new attempt, cut those before the final dot, close idle connections (I3).

        ``part`` gives up the rest; ``unfence`` goes on.
        """
        self._fenced = True
        self._dispatcher.fence()
        for pool in (*self._pools.values(), *self._retired):
            pool.shut()

    def part(self) -> None:
        """Give up waiting for answers: what was past the final dot is unknown, and no connection stays open."""
        parting = asyncio.get_running_loop().create_task(self._dispatcher.abandon())
        self._parting.add(parting)
        parting.add_done_callback(self._parting.discard)

    def unfence(self) -> None:
        """Go on."""
        self._fenced = False
        for pool in (*self._pools.values(), *self._retired):
            pool.reopen()
        self._dispatcher.stopped = False
        self._lanes.stir()

    async def close(self, timeout_s: float = 30.0) -> None:
        """Stop: attempts get ``timeout_s`` to finish, the rest is cut (unknown only if past the dot). Idempotent."""
        self.drain()
        for task in self._working:
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)
        self._working = []
        await self._lanes.close()
        try:
            async with asyncio.timeout(timeout_s):
                await self._dispatcher.idle()
        except TimeoutError:
            await self._dispatcher.abandon()
            await self._dispatcher.idle()
        await self._runner.settled()
        for pool in (*self._pools.values(), *self._retired):
            pool.close_idle()

    # -- news

    def wake(self, lanes: Iterable[str] = ()) -> None:
        """There may be mail to send: in these lanes (``lane_of``; cheap), or somewhere (one look at all lanes)."""
        named = False
        for lane in lanes:
            named = True
            self._lanes.woken(lane)
        if not named:
            self._sweeper.hurry()

    def stir(self) -> None:
        """Standings changed: end all rests and look again."""
        self._lanes.stir()

    def freed(self, account: str) -> None:
        """A permit, room or slot of an account came free otherwise than by time (``on_free`` of the budgets)."""
        if self._ways.freed(account):
            self._lanes.stir()

    def slot_wanted(self, account: str, *, wanted: bool) -> None:
        """Another node waits for a slot of the account (or no longer): connections are given up early meanwhile."""
        for pool in self._pools.values():
            if pool.endpoint.account == account:
                pool.waited_for = wanted
                pool.sweep()

    def reload(self, plans: Plans) -> None:
        """Take new settings: attempts under way end by the old ones, idle connections of changed ways close."""
        self._plans = plans
        for name in [name for name, pool in self._pools.items() if plans.endpoints.get(name) != pool.endpoint]:
            pool = self._pools.pop(name)
            pool.close_idle()
            self._retired.append(pool)
        for name, endpoint in plans.endpoints.items():
            if name not in self._pools:
                self._pools[name] = self._pool(endpoint)
        self._ways.directory = plans.directory
        self._judge.classifier, self._judge.plans = plans.classifier, plans.plans
        self._ways.classifier = self._prober.classifier = plans.classifier
        self._reporter.reporting = plans.reporting
        self._verifier.archives, self._verifier.settings = plans.archives, plans.verify
        self._lanes.stir()

    def returning(self, path: ReturnPath | None) -> None:
        """Let mail leave with this return path from the next attempt on."""
        self._runner.return_path = path

    def heard(self, way: str, message: NewMessage, verdict: Verdict) -> None:
        """Note what a report says of a way (``path:account``) that had taken a message."""
        path, _, account = way.partition(":")
        went = Way(path=path, tenant=message.tenant, account=account)
        changes = self._wiring.health.note(went, message.header_from, verdict, wall_ms(), client=message.client)
        for change in changes:
            self._changed(change)

    async def probe(self, tenant: str, recipient: str) -> tuple[Verdict, Reply] | None:
        """Ask a tenant's connector whether it still matches; None: there is none, it rests, or nothing may be sent."""
        found = [one for one in self._plans.endpoints.values() if (one.path, one.tenant) == ("connector", tenant)]
        if not found or self._fenced or self._dispatcher.stopped:
            return None
        return await self._prober.look(found[0], self._plans.reporting.senders[tenant], recipient)

    def park(self, scope: str, *, reason: str, by: str) -> None:
        """Let a scope rest until resumed (names as in node/policy/health.py)."""
        for change in self._wiring.health.park(scope, wall_ms(), reason=reason, by=by):
            self._changed(change)

    def resume(self, scope: str) -> None:
        """End the rest of a scope."""
        for change in self._wiring.health.resume(scope, wall_ms()):
            self._changed(change)
        self._lanes.stir()

    def state(self) -> DeliveryState:
        """Say what is going on: ways, attempts, lanes that rest."""
        jobs, lanes, heard = self._dispatcher.jobs.values(), self._lanes.known.values(), self._settler.heard.last
        return describe(self._pools, self._wiring.health, jobs, lanes, wall_ms(), heard)

    @property
    def delivered_ms(self) -> int:
        """When something was delivered last (wall clock); 0: nothing yet."""
        return self._settler.delivered_ms

    @property
    def looked_for(self) -> int:
        """Messages of unknown outcome that are looked for."""
        return self._verifier.waiting

    # -- within

    def _drafting(self) -> list[Endpoint]:
        """Ways in whose mailboxes drafts of ours may lie."""
        if self._fenced or not self._plans.directory.rebuild_plans:
            return []
        return [one for one in self._plans.endpoints.values() if one.graph]

    def _pool(self, endpoint: Endpoint) -> Pool:
        return Pool(endpoint, self._opener, self._wiring.budgets, self._wiring.telemetry)

    def _kick(self) -> None:
        self._dispatcher.kick()

    def _woken(self, lane: str) -> None:
        self._lanes.woken(lane)

    def _changed(self, change: Change) -> None:
        resting = float(change.after.blocks(wall_ms()))
        self._wiring.telemetry.gauge("relay_breaker_resting", resting, scope=change.scope)
        self._wiring.on_change(change)
        if not resting:
            self._lanes.stir()
