"""EmbeddedBudgets: the shared limits of one node that shares them with nobody, all in memory.

Composes the pure counters of coordinator/budget into grants, slots and client admission. Does no I/O, never waits
and is not thread-safe: it belongs to the event loop that delivers. Times are handed in, from a clock that does not
jump forward (anchor the wall clock once, then add the monotonic one). Memory is bounded by the limits themselves:
a permit out, a counter per quarter hour, a session held; and by grants under way.
"""

import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from coordinator.budget.day import DayCounter
from coordinator.budget.reserve import share_of
from node.cluster.contract import BudgetUse, Grant, Limits, Need, Refusal, SlotLease
from node.cluster.desk import ClientDesk
from node.cluster.limits import BudgetLimits, whole_ms
from node.cluster.rebuild import Kept, PastAttempt, ended, vanished_sessions
from node.cluster.scopes import UNLIMITED, Account
from node.cluster.usage import account_lines, tenant_line
from node.policy.envelope import Priority

if TYPE_CHECKING:
    from coordinator.budget.reserve import Pool

UNKNOWN_RETRY_MS = 60_000
"""When to ask again for an account no limits are known of: a reload took it away and may bring it back."""


def _nothing(_account: str) -> None:
    """Nobody wants to be woken."""


class EmbeddedBudgets:
    """The Budgets contract for a single node."""

    def __init__(self, limits: BudgetLimits, *, started_ms: int, on_free: Callable[[str], None] = _nothing) -> None:
        """``on_free`` is called with the account whenever something came free other than by time passing.

        ``started_ms`` is when this life of the node began. Call ``rebuild`` before the first grant.
        """
        # Start time first: rebuild reads from old ids which life they belong to.
        self._life = f"{started_ms:011x}-{secrets.token_hex(4)}"
        self._granted = 0
        self._on_free = on_free
        self._limits = limits
        self._accounts: dict[str, Account] = {}
        self._tenants: dict[str, DayCounter] = {}
        self._desk = ClientDesk()
        self._slots: dict[tuple[str, int], SlotLease] = {}
        self._open: dict[str, tuple[Account, Pool | None, DayCounter | None]] = {}
        self._apply(limits, started_ms)

    # -- grants

    def try_grant(self, need: Need, now_ms: int) -> Grant | Refusal:
        """See Budgets. Day room is looked at before a permit is taken, so a refusal has taken nothing."""
        account = self._accounts.get(need.account)
        if account is None or need.account not in self._limits.accounts:
            return Refusal(reason="unknown_account", retry_ms=now_ms + UNKNOWN_RETRY_MS)
        urgent = need.priority is Priority.URGENT
        kept = 0 if urgent else account.day_kept
        if need.recipients > account.day.room(now_ms, kept=kept):
            retry_ms = account.day.free_at_ms(need.recipients, now_ms, kept=kept)
            return Refusal(reason="day_budget", retry_ms=retry_ms)
        tenant = self._tenants.get(need.tenant) if need.external else None
        if tenant is not None:
            kept = 0 if urgent else self._tenant_kept(tenant)
            if need.external > tenant.room(now_ms, kept=kept):
                retry_ms = tenant.free_at_ms(need.external, now_ms, kept=kept)
                return Refusal(reason="tenant_budget", retry_ms=retry_ms)
        pool = None
        if account.limited:
            pool = account.permits.take(now_ms, urgent=urgent)
            if pool is None:
                retry_ms = max(now_ms + 1, account.permits.next_free_ms(now_ms, urgent=urgent))
                return Refusal(reason="no_permit", retry_ms=retry_ms)
        account.day.reserved += need.recipients
        if tenant is not None:
            tenant.reserved += need.external
        self._granted += 1
        grant = Grant(id=f"{self._life}-{self._granted:x}", need=need, taken_ms=now_ms)
        self._open[grant.id] = (account, pool, tenant)
        return grant

    def settled(self, grant: Grant, now_ms: int, *, recipients_used: int | None = None, vanished: bool = False) -> None:
        """See Budgets. A grant settled twice, or of an earlier life, changes nothing."""
        taken = self._open.pop(grant.id, None)
        if taken is None:
            return
        account, pool, tenant = taken
        if pool is not None:
            (account.permits.vanish if vanished else account.permits.finish)(pool, now_ms)
        need = grant.need
        used = need.recipients if recipients_used is None else max(0, min(need.recipients, recipients_used))
        account.day.settle(need.recipients, used, now_ms)
        if tenant is not None:
            # Which of the recipients were used is not known here: as many external ones as there can have been.
            tenant.settle(need.external, min(need.external, used), now_ms)
        if used < need.recipients:
            self._on_free(need.account)

    def cancelled(self, grant: Grant, now_ms: int) -> None:
        """See Budgets. A grant cancelled twice, or of an earlier life, changes nothing."""
        taken = self._open.pop(grant.id, None)
        if taken is None:
            return
        account, pool, tenant = taken
        if pool is not None:
            account.permits.cancel(pool)
        account.day.settle(grant.need.recipients, 0, now_ms)
        if tenant is not None:
            tenant.settle(grant.need.external, 0, now_ms)
        self._on_free(grant.need.account)

    # -- slots

    def try_slot(self, account: str, now_ms: int) -> SlotLease | None:
        """See Budgets."""
        state = self._accounts.get(account)
        if state is None or account not in self._limits.accounts:
            return None
        index = state.slots.take(now_ms)
        if index is None:
            return None
        lease = SlotLease(account=account, index=index)
        self._slots[account, index] = lease
        return lease

    def give_back(self, lease: SlotLease, now_ms: int, *, linger: bool = False) -> None:
        """See Budgets. A lease given back twice changes nothing, even if its index is someone else's by now."""
        if self._slots.get((lease.account, lease.index)) is not lease:
            return
        del self._slots[lease.account, lease.index]
        self._accounts[lease.account].slots.give_back(lease.index, now_ms, linger=linger)
        if not linger:
            self._on_free(lease.account)

    def next_free_ms(self, account: str, now_ms: int) -> int:
        """When a permit and, as far as time alone decides, a slot can be had next; ``now_ms`` if both can.

        What only a holder can give back is told by ``on_free`` instead.
        """
        state = self._accounts.get(account)
        if state is None:
            return now_ms + UNKNOWN_RETRY_MS
        permit_ms = state.permits.next_free_ms(now_ms) if state.limited else now_ms
        return max(permit_ms, state.slots.next_free_ms(now_ms))

    # -- clients

    def admit_client(self, client: str, recipients: int, now_ms: int) -> Refusal | None:
        """See Budgets. Every None answered must be followed by exactly one ``client_done``."""
        return self._desk.admit(client, recipients, now_ms)

    def admit_recipients(self, client: str, recipients: int, now_ms: int) -> Refusal | None:
        """Room for more recipients of a message already admitted; pass their sum to ``client_done``."""
        return self._desk.admit_recipients(client, recipients, now_ms)

    def client_done(self, client: str, reserved: int, used: int, now_ms: int) -> None:
        """See Budgets."""
        self._desk.done(client, reserved, used, now_ms)

    # -- life

    def reload(self, limits: BudgetLimits, now_ms: int) -> None:
        """Put new limits in force. Nothing counted is forgotten, so no limit, old or new, is exceeded by it."""
        self._apply(limits, now_ms)
        for scope in limits.accounts:
            self._on_free(scope)

    def _apply(self, limits: BudgetLimits, now_ms: int) -> None:
        self._limits = limits
        for scope, wanted in limits.accounts.items():
            self._resize_account(scope, wanted, now_ms)
        settle_ms = whole_ms(limits.settle_s)
        for tenant in limits.tenants:
            self._tenants.setdefault(tenant, DayCounter(limit=UNLIMITED, settle_ms=settle_ms))
        for tenant, counter in self._tenants.items():
            counter.limit = limits.tenants.get(tenant, 0) or UNLIMITED
        self._desk.reload(limits.clients, now_ms)
        self._forget(now_ms)

    def rebuild(
        self,
        attempts: Sequence[PastAttempt],
        now_ms: int,
        *,
        kept: Kept | None = None,
        host_since_ms: int | None = None,
    ) -> None:
        """Once at start, before any grant: take over what earlier lives of this node have used.

        ``attempts`` are all of the last 25 h; ``kept`` the newest ``snapshot``, if there is one. ``host_since_ms``
        is when this host booted: sessions older than that vanished with it and linger, younger ones were closed by
        the kernel when their process died. None (unknown) lets all linger.
        """
        kept = kept or Kept(saved_ms=0, counts={})
        for key, counter in self._counters().items():
            counter.restore(kept.counts.get(key, {}), now_ms)
        for end in ended(attempts, now_ms):
            start = end.attempt.start
            # What ended before the snapshot was taken stands in it.
            counted = end.left_ms >= kept.saved_ms
            account = self._accounts.get(start.account)
            if account is not None:
                account.day.add(end.attempt.recipients * counted, end.left_ms)
                if account.limited:
                    account.permits.restore(now_ms, end.at_ms, vanished=end.vanished)
            tenant = self._tenants.get(start.tenant)
            if tenant is not None:
                tenant.add(start.external * counted, end.left_ms)
        self._restore_lingering(attempts, kept, now_ms, now_ms if host_since_ms is None else host_since_ms)

    def snapshot(self, now_ms: int) -> Kept:
        """Day counters and lingering sessions, to be kept over a restart; only what is not zero."""
        counts = {key: counter.snapshot(now_ms) for key, counter in self._counters().items()}
        lingering = {scope: account.slots.lingering_until(now_ms) for scope, account in self._accounts.items()}
        return Kept(
            saved_ms=now_ms,
            counts={key: count for key, count in counts.items() if count},
            lingering={scope: until for scope, until in lingering.items() if until},
        )

    def use(self, now_ms: int) -> list[BudgetUse]:
        """See Budgets."""
        lines: list[BudgetUse] = []
        for scope, limits in self._limits.accounts.items():
            lines += account_lines(scope, limits, self._accounts[scope], now_ms)
        for tenant, limit in self._limits.tenants.items():
            lines += [tenant_line(tenant, limit, self._tenants[tenant], now_ms)] if limit else []
        return lines + self._desk.use(now_ms)

    # -- inside

    def _tenant_kept(self, counter: DayCounter) -> int:
        return 0 if counter.limit == UNLIMITED else share_of(counter.limit, self._limits.urgent_day_percent)

    def _counters(self) -> dict[str, DayCounter]:
        found = {f"day/{scope}": account.day for scope, account in self._accounts.items()}
        found |= {f"external/{tenant}": counter for tenant, counter in self._tenants.items()}
        return found | {f"client/{name}": counter for name, counter in self._desk.counters().items()}

    def _restore_lingering(self, attempts: Sequence[PastAttempt], kept: Kept, now_ms: int, host_since_ms: int) -> None:
        idle_ms, linger_ms = whole_ms(self._limits.idle_s), whole_ms(self._limits.linger_s)
        for scope, gone in vanished_sessions(attempts, now_ms, host_since_ms, idle_ms).items():
            for gone_ms in gone:
                self._linger(scope, None, gone_ms + linger_ms, now_ms)
        for scope, until in kept.lingering.items():
            for until_ms in until:
                self._linger(scope, 1, until_ms, now_ms)

    def _linger(self, scope: str, sessions: int | None, until_ms: int, now_ms: int) -> None:
        """None: as many sessions as a life of this node may have held."""
        account = self._accounts.get(scope)
        if account is not None and account.slots.limit < UNLIMITED:
            account.slots.restore_lingering(sessions or account.slots.usable, now_ms, until_ms)

    def _resize_account(self, scope: str, wanted: Limits, now_ms: int) -> None:
        known = self._accounts.get(scope)
        if known is None:
            self._accounts[scope] = Account(wanted, self._limits)
        else:
            known.resize(wanted, self._limits, now_ms)

    def _forget(self, now_ms: int) -> None:
        """Drop removed scopes that hold nothing any more; others stay, so that bringing them back is safe."""
        limits = self._limits
        for scope in [name for name, held in self._accounts.items() if held.at_rest(now_ms)]:
            if scope not in limits.accounts:
                del self._accounts[scope]
        for tenant in [name for name, counter in self._tenants.items() if not counter.used(now_ms)]:
            if tenant not in limits.tenants:
                del self._tenants[tenant]
