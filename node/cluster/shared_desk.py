"""Admission of clients' messages by limits shared with other nodes; same calls as desk.py (operations A8).

Rates are shares with a base (rate_part.py); recipients of a day come in lots, with a small base of units that may be
used first and written into the record after. The base is ours to grant, so a crash may let a client have it twice.
"""

from collections.abc import Mapping

from coordinator.budget.day import DayCounter
from node.cluster.contract import BudgetUse, Refusal
from node.cluster.limits import ClientLimits, whole_ms
from node.cluster.lot_part import LotPart
from node.cluster.parts import Part
from node.cluster.rate_part import RatePart, base_of
from node.cluster.scopes import UNLIMITED
from node.cluster.shared_account import Here, lot_part
from node.cluster.shared_usage import day_line, permits_line
from node.cluster.usage import DAY_S

FETCH_RETRY_MS = 1_000
MESSAGE_UNITS = 10
"""Recipients of a first message that need not wait for the store, if the limit is large enough for everybody's."""


class _Client:
    """One client with a limit."""

    def __init__(self, name: str, here: Here) -> None:
        def nobody() -> None:
            """A client asks again by itself."""

        self.limits = ClientLimits()
        self.rate = RatePart(here.keys.budget(name, "rate"), here.node, window_ms=60_000, on_more=nobody)
        self.lots: LotPart = lot_part(here.keys.budget(name, "recipients"), here, 0, on_more=self._book)
        self.local: DayCounter | None = None
        """Recipients in another window than a day: an even part for each node, counted here alone."""
        self.base = self.unbooked = 0

    def resize(self, limits: ClientLimits, nodes: int, now_ms: int) -> None:
        self.limits = limits
        base = base_of(limits.messages, nodes)
        self.rate.permits.rebase(base, now_ms)
        self.rate.resize(max(0, limits.messages - base), whole_ms(limits.window_s), 0, now_ms)
        self.base = max(base_of(limits.recipients, nodes), min(MESSAGE_UNITS, limits.recipients // (4 * nodes)))
        self.lots.day.limit = max(1, limits.recipients - self.base) if limits.recipients else UNLIMITED
        self.lots.day.holders = nodes
        self.local = self._local(limits, nodes, now_ms)

    def _local(self, limits: ClientLimits, nodes: int, now_ms: int) -> DayCounter | None:
        if not limits.recipients or limits.recipients_window_s == DAY_S:
            return None
        window_ms, before = whole_ms(limits.recipients_window_s), self.local
        fresh = DayCounter(limit=max(1, limits.recipients // nodes), settle_ms=0, window_ms=window_ms)
        if before is not None:
            fresh.restore(before.counted(now_ms), now_ms)
            fresh.reserved = before.reserved
        return fresh

    def parts(self) -> list[Part]:
        found: list[Part] = [self.rate] if self.limits.messages else []
        return found + ([self.lots] if self.limits.recipients and self.local is None else [])

    # -- recipients

    def reserve(self, units: int, now_ms: int) -> Refusal | None:
        if self.local is not None:
            if self.local.reserve(units, now_ms):
                return None
            return Refusal(reason="recipients", retry_ms=self.local.free_at_ms(units, now_ms))
        if not self.limits.recipients:
            return None
        day = self.lots.day
        self.lots.ask(units + self.unbooked, now_ms, urgent=False, silent=False)
        self._book()
        room = day.room(now_ms)
        if units > room + self.base - self.unbooked:
            retry_ms = max(now_ms + FETCH_RETRY_MS, day.free_at_ms(units, now_ms))
            return Refusal(reason="recipients", retry_ms=retry_ms)
        day.take(min(units, room))
        self.unbooked += max(0, units - room)
        return None

    def _book(self) -> None:
        """Units used before they stood in the record are paid from those that stand there now."""
        paid = min(self.unbooked, self.lots.day.free)
        self.unbooked -= paid
        self.lots.day.free -= paid

    def done(self, reserved: int, used: int, now_ms: int) -> None:
        if self.local is not None:
            reserved = min(reserved, self.local.reserved)
            self.local.settle(reserved, min(used, reserved), now_ms)
        elif self.limits.recipients:
            back = min(max(0, reserved - used), self.unbooked)
            self.unbooked -= back
            opened = min(reserved - back, self.lots.day.open)
            self.lots.day.settle(opened, min(used, opened), now_ms)


class SharedDesk:
    """The client half of the Budgets contract in a cluster."""

    def __init__(self, here: Here) -> None:
        self._here = here
        self._clients: dict[str, _Client] = {}
        self._limits: Mapping[str, ClientLimits] = {}

    def admit(self, client: str, recipients: int, now_ms: int) -> Refusal | None:
        """Reserve one message and its recipients, or say when to come again."""
        state = self._clients.get(client)
        if state is None:
            return None
        if state.limits.messages and not state.rate.admit(now_ms):
            retry_ms = state.rate.permits.next_free_ms(now_ms) if state.rate.permits.whole else now_ms + FETCH_RETRY_MS
            return Refusal(reason="rate", retry_ms=max(now_ms + 1, retry_ms))
        refusal = state.reserve(recipients, now_ms)
        if refusal is not None and state.limits.messages:
            state.rate.permits.gcra.release()
        return refusal

    def admit_recipients(self, client: str, recipients: int, now_ms: int) -> Refusal | None:
        """Reserve more recipients of a message already admitted."""
        state = self._clients.get(client)
        return None if state is None else state.reserve(recipients, now_ms)

    def done(self, client: str, reserved: int, used: int, now_ms: int) -> None:
        """Count what was accepted, give back the rest; 0 used is a message given up."""
        state = self._clients.get(client)
        if state is None:
            return
        state.done(reserved, max(0, min(used, reserved)), now_ms)
        gcra = state.rate.permits.gcra
        if gcra.reserved == 0:
            return
        if used > 0:
            gcra.count(now_ms)
        else:
            gcra.release()

    def reload(self, limits: Mapping[str, ClientLimits], nodes: int, now_ms: int) -> None:
        """Put new limits in force; a client no longer listed is kept, unlimited."""
        self._limits = limits
        for name in limits.keys() | self._clients.keys():
            wanted = limits.get(name, ClientLimits())
            if name not in self._clients:
                self._clients[name] = _Client(name, self._here)
            self._clients[name].resize(wanted, max(1, nodes), now_ms)

    def parts(self) -> list[Part]:
        """Those with a limit."""
        return [part for state in self._clients.values() for part in state.parts()]

    def use(self, now_ms: int) -> list[BudgetUse]:
        """One line for each limit of each client."""
        return [line for name, state in self._clients.items() for line in _lines(name, state, now_ms)]


def _lines(name: str, state: _Client, now_ms: int) -> list[BudgetUse]:
    limits, lines = state.limits, list[BudgetUse]()
    if limits.messages:
        lines.append(permits_line(name, "client", limits.window_s, state.rate, now_ms))
    if limits.recipients and state.local is None:
        lines.append(day_line(name, "client", state.lots.day, now_ms))
    elif state.local is not None:
        used, window_s = state.local.used(now_ms), limits.recipients_window_s
        lines.append(BudgetUse(scope=name, kind="client", limit=limits.recipients, used=used, window_s=window_s))
    return lines
