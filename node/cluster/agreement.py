"""Limits in force in the whole cluster, seen from one node: what it wants, and what counts meanwhile (operations M17).

Numbers are written so that lower is always safer: no limit is a number nobody reaches, windows are negative.
"""

from collections.abc import Mapping

import msgspec

from coordinator.inforce import InForce, Values, Wanted, in_force_of, meanwhile
from coordinator.keys import Keys, decode, encode
from coordinator.store.contract import Compare, Item, Put, Write, absent, unchanged
from node.cluster.contract import Limits
from node.cluster.limits import BudgetLimits, ClientLimits, whole_ms
from node.cluster.parts import Moment, Proposal
from node.cluster.scopes import UNLIMITED

Numbers = dict[str, tuple[int, ...]]


def numbers_of(limits: BudgetLimits) -> Numbers:
    """All limits as numbers of which the lower is the safer."""
    found: Numbers = {f"account/{scope}": _account(each) for scope, each in limits.accounts.items()}
    found |= {f"tenant/{tenant}": (limit or UNLIMITED,) for tenant, limit in limits.tenants.items()}
    return found | {f"client/{name}": _client(each) for name, each in limits.clients.items()}


def _account(limits: Limits) -> tuple[int, ...]:
    return (
        limits.messages or UNLIMITED,
        -whole_ms(limits.window_s),
        limits.recipients_24h or UNLIMITED,
        limits.sessions or UNLIMITED,
    )


def _client(limits: ClientLimits) -> tuple[int, ...]:
    return (
        limits.messages or UNLIMITED,
        -whole_ms(limits.window_s),
        limits.recipients or UNLIMITED,
        -whole_ms(limits.recipients_window_s),
    )


def lowered(limits: BudgetLimits, numbers: Mapping[str, tuple[int, ...]]) -> BudgetLimits:
    """Our limits with the numbers that count meanwhile; numbers of an unknown form leave ours as they are."""
    accounts = {scope: _lower_account(each, numbers.get(f"account/{scope}")) for scope, each in limits.accounts.items()}
    clients = {name: _lower_client(each, numbers.get(f"client/{name}")) for name, each in limits.clients.items()}
    tenants = {
        tenant: _limit(min(limit or UNLIMITED, (numbers.get(f"tenant/{tenant}") or (UNLIMITED,))[0]))
        for tenant, limit in limits.tenants.items()
    }
    return msgspec.structs.replace(limits, accounts=accounts, clients=clients, tenants=tenants)


def _lower_account(ours: Limits, numbers: tuple[int, ...] | None) -> Limits:
    if numbers is None or len(numbers) != 4:  # noqa: PLR2004 - the form written above
        return ours
    messages, window_ms, recipients, sessions = map(min, _account(ours), numbers)
    return Limits(
        messages=_limit(messages),
        window_s=-window_ms / 1_000,
        recipients_24h=_limit(recipients),
        sessions=_limit(sessions),
    )


def _lower_client(ours: ClientLimits, numbers: tuple[int, ...] | None) -> ClientLimits:
    if numbers is None or len(numbers) != 4:  # noqa: PLR2004 - as above
        return ours
    messages, window_ms, recipients, recipients_ms = map(min, _client(ours), numbers)
    return ClientLimits(
        messages=_limit(messages),
        window_s=-window_ms / 1_000,
        recipients=_limit(recipients),
        recipients_window_s=-recipients_ms / 1_000,
    )


def _limit(number: int) -> int:
    """0 is no limit; a limit of nothing would come out as none, so the least is one."""
    return 0 if number >= UNLIMITED else max(1, number)


class Agreement:
    """A part (see Part) that publishes what this node wants and follows what the others want and what is in force."""

    def __init__(self, keys: Keys, node: str, wanted: Wanted) -> None:
        self.keys = (keys.config,)
        self.prefixes = (keys.wanted(""),)
        self.fault = ""
        self._wanted = wanted
        self._values: Values | None = None
        self.in_force: InForce | None = None
        self._mine = keys.wanted(node)
        self._items: dict[str, Item] = {}
        self._lease = 0

    @property
    def wanted(self) -> Wanted:
        """What this node wants."""
        return self._wanted

    @wanted.setter
    def wanted(self, wanted: Wanted) -> None:
        self._wanted, self._values = wanted, None

    def values(self) -> Values:
        """What to go by: the lower limits and the longer list of all that is wanted or in force."""
        if self._values is None:
            read = [decode(item.value, Wanted) for key, item in self._items.items() if key != self._mine]
            self._values = meanwhile(self.in_force, [self.wanted, *(each for each in read if each is not None)])
        return self._values

    def begin(self, at: Moment) -> None:
        """See Part."""
        self._lease = at.session.lease

    def news(self, key: str, item: Item | None, revision: int, at: Moment) -> None:  # noqa: ARG002 - Part's form
        """See Part. A value in force that cannot be read leaves the last one that could."""
        self._values = None
        if key == self.keys[0]:
            found = in_force_of(item)
            self.fault = "" if item is None or found is not None else "the values in force cannot be read"
            self.in_force = self.in_force if self.fault else found
        elif item is None:
            self._items.pop(key, None)
        else:
            self._items[key] = item

    def proposals(self, at: Moment) -> list[Proposal]:  # noqa: ARG002 - as above
        """See Part: our own key as we want it, under our lease."""
        known, value = self._items.get(self._mine), encode(self.wanted)
        if known is not None and known.value == value and known.lease == self._lease:
            return []
        compare = absent(self._mine) if known is None else unchanged(known)
        return [_written((compare,), (Put(key=self._mine, value=value, lease=self._lease),))]


def _written(compares: tuple[Compare, ...], writes: tuple[Write, ...]) -> Proposal:
    def nothing(*_: object) -> None:
        """What became of it comes with the watch."""

    return Proposal(
        compares=compares,
        writes=writes,
        sending=nothing,
        done=nothing,
        undone=nothing,
        refused=nothing,
        unanswered=nothing,
    )
