"""SharedBudgets: the limits of a node that shares them with others through the store, behind the same contract.

What a message needs is decided here and now from what this node holds: nothing waits, nothing asks the store. One
task of the process (mover.py) fetches, hands on and gives back. Without a live session, and without everybody's word
that the store is silent, every grant is refused as ``paused`` (coordination-review §1, §5). Belongs to the event loop
that delivers; bounded by the limits and by grants under way.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from coordinator.budget.reserve import share_of
from coordinator.inforce import Wanted
from coordinator.store.contract import Seen
from node.cluster.agreement import Agreement, lowered, numbers_of
from node.cluster.contract import BudgetUse, Grant, Need, Refusal, SlotLease
from node.cluster.desk import ClientDesk
from node.cluster.limits import BudgetLimits, whole_ms
from node.cluster.lot_part import LotPart
from node.cluster.mover import Mover
from node.cluster.parts import Moment, Part
from node.cluster.place import Place, Sight
from node.cluster.rebuild import Kept, PastAttempt, ended
from node.cluster.scopes import UNLIMITED
from node.cluster.shared_account import Here, SharedAccount, lot_part
from node.cluster.shared_usage import account_lines, tenant_line
from node.policy.envelope import Priority

if TYPE_CHECKING:
    from coordinator.budget.reserve import Pool

UNKNOWN_RETRY_MS = 60_000
PAUSED_RETRY_MS = 500
"""When to ask again without a session; whoever gets it back wakes everybody anyway."""
FETCH_RETRY_MS = 1_000
"""When to ask again for what is being fetched; what arrives sooner wakes."""


def _never() -> bool:
    return False


class SharedBudgets:
    """The Budgets contract for a node of a cluster."""

    def __init__(self, limits: BudgetLimits, place: Place, *, started_ms: int) -> None:
        """Nothing is asked of the store before ``run``. Call ``rebuild`` before, with what the spool knows."""
        self._life = f"{started_ms:011x}-{secrets.token_hex(4)}"
        self._granted = 0
        self._place = place
        self._here = Here(node=place.node, keys=place.keys, on_free=place.on_free, on_slot_wanted=place.on_slot_wanted)
        wanted = Wanted(hash=place.config_hash, nodes=tuple(sorted(place.nodes)), limits=numbers_of(limits))
        self.agreement = Agreement(place.keys, place.node, wanted)
        self._ours = self._limits = limits
        self._accounts: dict[str, SharedAccount] = {}
        self._tenants: dict[str, LotPart] = {}
        self._desk = ClientDesk()
        self._open: dict[str, tuple[SharedAccount, Pool | None, LotPart | None]] = {}
        self.sight = Sight(place)
        self.alone_together: Callable[[], bool] = _never
        """Whether everybody's word lets us go on without a session (silence.py sets it)."""
        self.mover = Mover(place.session, place.feed, self._moment, self._parts)
        self._apply(started_ms)

    # -- rights

    def may_send(self) -> bool:
        """Whether this node may still begin something and send final dots (I3)."""
        return self._place.live or self.alone_together()

    def _paused(self, account: SharedAccount) -> bool:
        """No session, or one under which our share has not been read yet."""
        if self._place.live:
            return bool(account.limits.messages) and account.permits.adopted != self._place.session.session.inc
        return not self.alone_together()

    # -- grants

    def try_grant(self, need: Need, now_ms: int) -> Grant | Refusal:
        """See Budgets. Room of the day is looked at before a permit is taken, so a refusal has taken nothing."""
        account = self._accounts.get(need.account)
        if account is None or need.account not in self._limits.accounts:
            return Refusal(reason="unknown_account", retry_ms=now_ms + UNKNOWN_RETRY_MS)
        if self._paused(account):
            return Refusal(reason="paused", retry_ms=now_ms + PAUSED_RETRY_MS)
        urgent = need.priority is Priority.URGENT
        lots = account.lots if account.limits.recipients_24h else None
        tenant = self._tenants.get(need.tenant) if need.external else None
        tenant = tenant if tenant is not None and tenant.day.limit < UNLIMITED else None
        refusal = self._short(lots, need.recipients, "day_budget", now_ms, urgent=urgent)
        refusal = refusal or self._short(tenant, need.external, "tenant_budget", now_ms, urgent=urgent)
        if refusal is not None:
            return refusal
        pool = None
        if account.limits.messages:
            pool = account.permits.take(now_ms, urgent=urgent)
            if pool is None:
                return self._no_permit(account, now_ms, urgent=urgent)
        if lots is not None:
            lots.day.take(need.recipients)
        if tenant is not None:
            tenant.day.take(need.external)
        self._granted += 1
        grant = Grant(id=f"{self._life}-{self._granted:x}", need=need, taken_ms=now_ms)
        self._open[grant.id] = (account, pool, tenant)
        return grant

    def _short(self, lots: LotPart | None, units: int, reason: str, now_ms: int, *, urgent: bool) -> Refusal | None:
        silent = not self._place.live
        if lots is None or lots.ask(units, now_ms, urgent=urgent, silent=silent):
            return None
        self.mover.due()
        at_ms = lots.day.free_at_ms(units, now_ms, urgent=urgent)
        return Refusal(reason=reason, retry_ms=max(at_ms, now_ms + FETCH_RETRY_MS))

    def _no_permit(self, account: SharedAccount, now_ms: int, *, urgent: bool) -> Refusal:
        self.mover.due()
        permits = account.permits.permits
        at_ms = permits.next_free_ms(now_ms, urgent=urgent) if permits.limit else now_ms + FETCH_RETRY_MS
        return Refusal(reason="no_permit", retry_ms=max(now_ms + 1, at_ms))

    def settled(self, grant: Grant, now_ms: int, *, recipients_used: int | None = None, vanished: bool = False) -> None:
        """See Budgets. A grant settled twice, or of an earlier life, changes nothing."""
        taken = self._open.pop(grant.id, None)
        if taken is None:
            return
        account, pool, tenant = taken
        if pool is not None:
            permits = account.permits.permits
            (permits.vanish if vanished else permits.finish)(pool, now_ms)
        need = grant.need
        used = need.recipients if recipients_used is None else max(0, min(need.recipients, recipients_used))
        self._settle_days(account, tenant, need, used, now_ms)

    def cancelled(self, grant: Grant, now_ms: int) -> None:
        """See Budgets. A grant cancelled twice, or of an earlier life, changes nothing."""
        taken = self._open.pop(grant.id, None)
        if taken is None:
            return
        account, pool, tenant = taken
        if pool is not None:
            account.permits.permits.cancel(pool)
        self._settle_days(account, tenant, grant.need, 0, now_ms)
        self._here.on_free(grant.need.account)

    def _settle_days(self, account: SharedAccount, tenant: LotPart | None, need: Need, used: int, now_ms: int) -> None:
        if account.limits.recipients_24h and account.lots.day.open >= need.recipients:
            account.lots.day.settle(need.recipients, used, now_ms)
        if tenant is not None:
            # Which of the recipients were used is not known here: as many external ones as there can have been.
            tenant.day.settle(need.external, min(need.external, used), now_ms)
        if 0 < used < need.recipients:
            self._here.on_free(need.account)

    # -- slots

    def try_slot(self, account: str, now_ms: int) -> SlotLease | None:
        """See Budgets."""
        state = self._accounts.get(account)
        if state is None or account not in self._limits.accounts or not self.may_send():
            return None
        if not state.limits.sessions:
            return SlotLease(account=account, index=-1)
        lease = state.slots.take(now_ms)
        if lease is None:
            self.mover.due()
        return lease

    def give_back(self, lease: SlotLease, now_ms: int, *, linger: bool = False) -> None:
        """See Budgets."""
        state = self._accounts.get(lease.account)
        if state is None or lease.index < 0:
            return
        at_hand = state.slots.give_back(lease, now_ms, linger=linger)
        self.mover.due()
        if at_hand:
            self._here.on_free(lease.account)

    # -- clients

    def admit_client(self, client: str, recipients: int, now_ms: int) -> Refusal | None:
        """See Budgets."""
        return self._desk.admit(client, recipients, now_ms)

    def admit_recipients(self, client: str, recipients: int, now_ms: int) -> Refusal | None:
        """Room for more recipients of a message already admitted; pass their sum to ``client_done``."""
        return self._desk.admit_recipients(client, recipients, now_ms)

    def client_done(self, client: str, reserved: int, used: int, now_ms: int) -> None:
        """See Budgets."""
        self._desk.done(client, reserved, used, now_ms)

    # -- life

    async def run(self) -> None:
        """Move shares, lots and slots until cancelled."""
        leave = self._place.feed.subscribe(self._seen)
        try:
            await self.mover.run()
        finally:
            leave()

    def reload(self, limits: BudgetLimits, now_ms: int, *, config_hash: str = "", nodes: Sequence[str] = ()) -> None:
        """Want new limits; they hold once every node wants them, until then the lower of both."""
        self._ours = limits
        wanted = self.agreement.wanted
        self.agreement.wanted = Wanted(
            hash=config_hash or wanted.hash, nodes=tuple(sorted(nodes)) or wanted.nodes, limits=numbers_of(limits)
        )
        self._apply(now_ms)
        for scope in limits.accounts:
            self._here.on_free(scope)

    def rebuild(
        self,
        attempts: Sequence[PastAttempt],
        now_ms: int,
        *,
        kept: Kept | None = None,
        host_since_ms: int | None = None,  # noqa: ARG002 - the record of slots knows what lingers
    ) -> None:
        """Once before ``run``: which permits earlier lives of this node have out, and until when.

        Not called, or for a spool that may be behind, each share counts as just used whole. Day units stand in the
        shared records already; of ``kept`` only the clients' counters are taken.
        """
        del kept
        for end in ended(attempts, now_ms):
            account = self._accounts.get(end.attempt.start.account)
            if account is not None and account.limits.messages:
                account.permits.permits.restore(now_ms, end.at_ms, vanished=end.vanished)
        for account in self._accounts.values():
            account.permits.known_life = True

    def use(self, now_ms: int) -> list[BudgetUse]:
        """See Budgets."""
        lines: list[BudgetUse] = []
        for scope in self._limits.accounts:
            lines += account_lines(scope, self._accounts[scope], now_ms)
        for tenant, limit in self._limits.tenants.items():
            lines += [tenant_line(tenant, self._tenants[tenant].day, now_ms)] if limit else []
        return lines + self._desk.use(now_ms)

    def faults(self) -> dict[str, str]:
        """Records nobody moves anything in, and why: alarms."""
        return {part.keys[0]: part.fault for part in self._parts() if part.fault}

    # -- inside

    def _apply(self, now_ms: int) -> None:
        values = self.agreement.values()
        self._limits = limits = lowered(self._ours, values.limits)
        for scope, wanted in limits.accounts.items():
            known = self._accounts.get(scope)
            if known is None:
                self._accounts[scope] = SharedAccount(scope, wanted, limits, self._here, now_ms)
            else:
                known.resize(wanted, limits, now_ms)
        settle_ms = whole_ms(limits.settle_s)
        for tenant, limit in limits.tenants.items():
            if tenant not in self._tenants:
                key = self._place.keys.budget(tenant, "external")
                self._tenants[tenant] = lot_part(key, self._here, settle_ms, on_more=self._tenant_more)
            day = self._tenants[tenant].day
            day.limit, day.kept = limit or UNLIMITED, share_of(limit, limits.urgent_day_percent)
        for day_part in self._days():
            day_part.day.holders = max(1, len(values.nodes))
        self._desk.reload(limits.clients, now_ms)
        self.mover.follow()

    def _tenant_more(self) -> None:
        for scope in self._limits.accounts:
            self._here.on_free(scope)

    def _days(self) -> Iterable[LotPart]:
        return (*(account.lots for account in self._accounts.values()), *self._tenants.values())

    def _parts(self) -> list[Part]:
        found: list[Part] = [self.agreement]
        for account in self._accounts.values():
            account.look(self._place.clock())
            found += account.parts()
        return found + [lots for lots in self._tenants.values() if lots.day.limit < UNLIMITED]

    def _seen(self, seen: Seen) -> None:
        self.sight.feed(seen)
        prefixes = (*self.agreement.keys, *self.agreement.prefixes)
        if any(change.key.startswith(prefixes) for change in seen.changes):
            self._apply(self._place.clock())

    def _moment(self) -> Moment:
        return self.sight.moment(frozenset(self.agreement.values().nodes))
