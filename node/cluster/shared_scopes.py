"""Every shared scope of a node, built from its settings and the values in force, and changed in place by either."""

from collections.abc import Sequence

from coordinator.budget.reserve import ElasticPermits, share_of
from coordinator.inforce import Wanted
from coordinator.store.contract import Seen
from node.cluster.agreement import Agreement, lowered, numbers_of
from node.cluster.contract import BudgetUse
from node.cluster.limits import BudgetLimits, whole_ms
from node.cluster.lot_part import LotPart
from node.cluster.parts import Part
from node.cluster.permit_part import PermitPart
from node.cluster.place import Place
from node.cluster.scopes import UNLIMITED
from node.cluster.shared_account import Here, SharedAccount, lot_part
from node.cluster.shared_desk import SharedDesk
from node.cluster.shared_usage import account_lines, tenant_line
from node.cluster.slot_part import SlotPart


class SharedScopes:
    """Accounts, tenants and clients; bounded by the names ever configured in this life."""

    def __init__(self, limits: BudgetLimits, place: Place, here: Here) -> None:
        """Build nothing before ``apply``."""
        wanted = Wanted(hash=place.config_hash, nodes=tuple(sorted(place.nodes)), limits=numbers_of(limits))
        self.agreement = Agreement(place.keys, place.node, wanted)
        self.accounts: dict[str, SharedAccount] = {}
        self.tenants: dict[str, LotPart] = {}
        self.desk = SharedDesk(here)
        self.limits = limits
        """Those to go by now."""
        self._ours, self._here = limits, here

    def want(self, limits: BudgetLimits, config_hash: str, nodes: Sequence[str]) -> None:
        """Other settings; ``apply`` follows."""
        before = self.agreement.wanted
        self._ours = limits
        self.agreement.wanted = Wanted(
            hash=config_hash or before.hash, nodes=tuple(sorted(nodes)) or before.nodes, limits=numbers_of(limits)
        )

    def concerned(self, seen: Seen) -> bool:
        """Whether news may change the values to go by."""
        prefixes = (*self.agreement.keys, *self.agreement.prefixes)
        return any(change.key.startswith(prefixes) for change in seen.changes)

    def apply(self, now_ms: int) -> None:
        """Put into effect what is to go by: the lower of ours and what others want or is in force."""
        values = self.agreement.values()
        self.limits = limits = lowered(self._ours, values.limits)
        for scope, wanted in limits.accounts.items():
            known = self.accounts.get(scope)
            if known is None:
                self.accounts[scope] = SharedAccount(scope, wanted, limits, self._here, now_ms)
            else:
                known.resize(wanted, limits, now_ms)
        settle_ms = whole_ms(limits.settle_s)
        for tenant, limit in limits.tenants.items():
            if tenant not in self.tenants:
                key = self._here.keys.budget(tenant, "external")
                self.tenants[tenant] = lot_part(key, self._here, settle_ms, on_more=self._tenant_more)
            day = self.tenants[tenant].day
            day.limit, day.kept = limit or UNLIMITED, share_of(limit, limits.urgent_day_percent)
        for day_part in self.day_parts():
            day_part.day.holders = max(1, len(values.nodes))
        self.desk.reload(limits.clients, len(values.nodes), now_ms)

    def _tenant_more(self) -> None:
        for scope in self.limits.accounts:
            self._here.on_free(scope)

    def permit_parts(self) -> list[PermitPart[ElasticPermits]]:
        """Those with a limit."""
        return [account.permits for account in self.accounts.values() if account.limits.messages]

    def slot_parts(self) -> list[SlotPart]:
        """Those with a limit."""
        return [account.slots for account in self.accounts.values() if account.limits.sessions]

    def day_parts(self) -> list[LotPart]:
        """Of accounts and tenants."""
        return [*(account.lots for account in self.accounts.values()), *self.tenants.values()]

    def nodes(self) -> frozenset[str]:
        """The list to go by: the longer one while two are in force."""
        return frozenset(self.agreement.values().nodes)

    def parts(self, now_ms: int) -> list[Part]:
        """Those with a limit."""
        found: list[Part] = [self.agreement]
        for account in self.accounts.values():
            account.look(now_ms)
            found += account.parts()
        found += [lots for lots in self.tenants.values() if lots.day.limit < UNLIMITED]
        return found + self.desk.parts()

    def use(self, now_ms: int) -> list[BudgetUse]:
        """See Budgets."""
        lines = [line for scope in self.limits.accounts for line in account_lines(scope, self.accounts[scope], now_ms)]
        lines += [
            tenant_line(name, self.tenants[name].day, now_ms) for name, limit in self.limits.tenants.items() if limit
        ]
        return lines + self.desk.use(now_ms)
