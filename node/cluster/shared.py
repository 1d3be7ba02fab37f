"""SharedBudgets: the limits of a node that shares them with others through the store, behind the same contract.

What a message needs is decided here and now from what this node holds: nothing waits, nothing asks the store. One
task of the process (mover.py) fetches, hands on and gives back. Without a live session, and without everybody's word
that the store is silent, every grant is refused as ``paused`` (coordination-review §1, §5). Belongs to the event loop
that delivers; bounded by the limits and by grants under way.
"""

import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from coordinator.store.contract import Seen
from node.cluster.contract import BudgetUse, Grant, Need, Refusal, SlotLease
from node.cluster.limits import BudgetLimits
from node.cluster.lot_part import LotPart
from node.cluster.mover import Mover
from node.cluster.parts import Moment, Part
from node.cluster.permit_part import never
from node.cluster.place import Place, Sight
from node.cluster.rebuild import Kept, PastAttempt, ended
from node.cluster.scopes import UNLIMITED
from node.cluster.shared_account import Here, SharedAccount
from node.cluster.shared_scopes import SharedScopes
from node.policy.envelope import Priority

if TYPE_CHECKING:
    from coordinator.budget.reserve import Pool

UNKNOWN_RETRY_MS = 60_000
PAUSED_RETRY_MS = 500
"""When to ask again without a session; whoever gets it back wakes everybody anyway."""
FETCH_RETRY_MS = 1_000
"""When to ask again for what is being fetched; what arrives sooner wakes."""


class SharedBudgets:
    """The Budgets contract for a node of a cluster."""

    def __init__(self, limits: BudgetLimits, place: Place, *, started_ms: int) -> None:
        """Nothing is asked of the store before ``run``. Call ``rebuild`` before, with what the spool knows."""
        self._life = f"{started_ms:011x}-{secrets.token_hex(4)}"
        self._granted = 0
        self._place = place
        self._here = Here(node=place.node, keys=place.keys, on_free=place.on_free, on_slot_wanted=place.on_slot_wanted)
        self.scopes = SharedScopes(limits, place, self._here)
        self._open: dict[str, tuple[SharedAccount, Pool | None, LotPart | None]] = {}
        self.sight = Sight(place)
        self.alone_together: Callable[[], bool] = never
        """Whether everybody's word lets us go on without a session (silence.py sets it)."""
        self.mover = Mover(place.session, place.feed, self._moment, self._parts)
        self.mover.before_news, self.mover.after_news = self.sight.feed, self._seen
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
        account = self.scopes.accounts.get(need.account)
        if account is None or need.account not in self.scopes.limits.accounts:
            return Refusal(reason="unknown_account", retry_ms=now_ms + UNKNOWN_RETRY_MS)
        if self._paused(account):
            return Refusal(reason="paused", retry_ms=now_ms + PAUSED_RETRY_MS)
        urgent = need.priority is Priority.URGENT
        lots = account.lots if account.limits.recipients_24h else None
        tenant = self.scopes.tenants.get(need.tenant) if need.external else None
        tenant = tenant if tenant is not None and tenant.day.limit < UNLIMITED else None
        refusal = self._short(lots, need.recipients, "day_budget", now_ms, urgent=urgent)
        refusal = refusal or self._short(tenant, need.external, "tenant_budget", now_ms, urgent=urgent)
        if refusal is not None:
            return refusal
        pool = None
        if account.limits.messages:
            pool = account.permits.take(now_ms, urgent=urgent)
            if pool is None:
                for part in (lots, tenant):
                    if part is not None:
                        part.expect(account.permits.needs_until_ms)
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
        return Refusal(reason="no_permit", retry_ms=at_ms if at_ms > now_ms else now_ms + FETCH_RETRY_MS)

    def settled(self, grant: Grant, now_ms: int, *, recipients_used: int | None = None, vanished: bool = False) -> None:
        """See Budgets. A grant settled twice, or of an earlier life, changes nothing."""
        taken = self._open.pop(grant.id, None)
        if taken is None:
            return
        account, pool, tenant = taken
        if pool is not None:
            permits = account.permits.permits
            (permits.vanish if vanished else permits.finish)(pool, now_ms)
            account.permits.used()
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
        state = self.scopes.accounts.get(account)
        if state is None or account not in self.scopes.limits.accounts or not self.may_send():
            return None
        if not state.limits.sessions:
            return SlotLease(account=account, index=-1)
        lease = state.slots.take(now_ms)
        if lease is None:
            self.mover.due()
        return lease

    def give_back(self, lease: SlotLease, now_ms: int, *, linger: bool = False) -> None:
        """See Budgets."""
        state = self.scopes.accounts.get(lease.account)
        if state is None or lease.index < 0:
            return
        at_hand = state.slots.give_back(lease, now_ms, linger=linger, heard=self._place.heard)
        self.mover.due()
        if at_hand:
            self._here.on_free(lease.account)

    # -- clients

    def admit_client(self, client: str, recipients: int, now_ms: int) -> Refusal | None:
        """See Budgets."""
        return self.scopes.desk.admit(client, recipients, now_ms)

    def admit_recipients(self, client: str, recipients: int, now_ms: int) -> Refusal | None:
        """Room for more recipients of a message already admitted; pass their sum to ``client_done``."""
        return self.scopes.desk.admit_recipients(client, recipients, now_ms)

    def client_done(self, client: str, reserved: int, used: int, now_ms: int) -> None:
        """See Budgets."""
        self.scopes.desk.done(client, reserved, used, now_ms)

    # -- life

    async def run(self) -> None:
        """Move shares, lots and slots until cancelled."""
        await self.mover.run()

    def reload(self, limits: BudgetLimits, now_ms: int, *, config_hash: str = "", nodes: Sequence[str] = ()) -> None:
        """Want new limits; they hold once every node wants them, until then the lower of both."""
        self.scopes.want(limits, config_hash, nodes)
        self._apply(now_ms)
        for scope in limits.accounts:
            self._here.on_free(scope)

    def rebuild(
        self,
        attempts: Sequence[PastAttempt],
        now_ms: int,
        **_known_to_the_store: object,
    ) -> None:
        """Once before ``run``: which permits earlier lives of this node have out, and until when.

        Without it each share counts as just used whole. Day units and lingering connections stand in the shared records
        already. What a spool says that is an older copy of itself must not be used: see ``mover.may_begin``, ``doubt``.
        """
        for end in ended(attempts, now_ms):
            account = self.scopes.accounts.get(end.attempt.start.account)
            if account is not None and account.limits.messages:
                account.permits.permits.restore(now_ms, end.at_ms, vanished=end.vanished)
        for account in self.scopes.accounts.values():
            account.permits.known_life = True

    def doubt(self) -> None:
        """What was known of earlier lives is too old: from the next session on each share counts as just used whole."""
        for account in self.scopes.accounts.values():
            account.permits.known_life = False

    def snapshot(self, now_ms: int) -> Kept:
        """Nothing to keep over a restart: what was used stands in the store."""
        return Kept(saved_ms=now_ms, counts={})

    def use(self, now_ms: int) -> list[BudgetUse]:
        """See Budgets."""
        return self.scopes.use(now_ms)

    def faults(self) -> dict[str, str]:
        """Records nobody moves anything in, and why: alarms."""
        return {part.keys[0]: part.fault for part in self._parts() if part.fault}

    def alone(self) -> None:
        """Going on by everybody's word has begun or ended: meanwhile nothing is kept for who waits, all is ours."""
        alone = self.alone_together()
        for part in self.scopes.permit_parts():
            part.alone = alone
            part.fit(self._place.clock())

    # -- inside

    def _apply(self, now_ms: int) -> None:
        self.scopes.apply(now_ms)
        self.mover.follow()

    def _parts(self) -> list[Part]:
        return self.scopes.parts(self._place.clock())

    def _seen(self, seen: Seen) -> None:
        if self.scopes.concerned(seen):
            self._apply(self._place.clock())

    def _moment(self) -> Moment:
        return self.sight.moment(self.scopes.nodes())
