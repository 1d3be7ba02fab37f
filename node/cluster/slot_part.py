"""The part a node has of an account's connections: leased slots in use, at hand, wanted, or on their way to another.

A slot counts as ours once the watch shows its key under our lease; it is ours no more from the moment it is given up,
before the transaction that does so is sent. Whoever wants one and finds none joins the queue; the holders' delivery is
told that somebody waits, and gives a connection up once it is idle, or by the rule of messages and seconds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coordinator.budget import turns
from coordinator.budget.turns import Me, Rules, Scene, Turn
from coordinator.store.contract import Item
from node.cluster.contract import SlotLease
from node.cluster.notes import Held
from node.cluster.parts import Moment, Proposal

WANTED_MS = 5_000
"""A refusal counts as demand for so long; who has mail asks again every second."""
UNUSED_MS = 2_000
"""A slot nobody opened a connection with goes to who waits after so long."""
NEVER_MS = -(1 << 60)
KEEP_MS = 15_000
"""A slot nobody uses and nobody waits for stays at hand for so long."""


def _never() -> int:
    return NEVER_MS


@dataclass(slots=True, kw_only=True)
class Given:
    """A slot given up and not yet seen to be gone."""

    linger: bool
    mod_revision: int


class SlotPart:
    """Connections of one account on this node."""

    def __init__(
        self,
        account: str,
        scene: Scene,
        *,
        node: str,
        sessions: int,
        linger_ms: int,
        on_more: Callable[[], None],
        on_wanted: Callable[[str, bool], None],
    ) -> None:
        """``on_wanted``: somebody else waits for a connection of this account, or no longer."""
        self.account, self.scene, self.sessions, self._linger_ms = account, scene, sessions, linger_ms
        self.keys = (scene.keys.record,)
        self.prefixes = (scene.keys.slots, scene.keys.waits)
        self.me = Me(node=node, inc=0, lease=0, boot="")
        self.used: dict[int, SlotLease] = {}
        self._given: dict[int, Given] = {}
        self.needed_until_ms: Callable[[], int] = _never
        """Until when work waits for something else before it needs a slot: one that nobody wants stays for it."""
        self._frozen: frozenset[int] | None = None
        """While the store is silent: the slots to go on with, and no others, whatever late news say."""
        self._rests_until_ms = NEVER_MS
        """Without the store nothing is opened before: connections of this machine's last life may be counted."""
        self._unused_ms: dict[int, int] = {}
        self._wanted_ms = NEVER_MS
        self._gap_ms = 0
        self._busy = self._doubtful = False
        self._silent = False
        """A connection of an earlier session may still be counted: it was never closed."""
        self._told = False
        self._seen_revision = 0
        self._written_revision = 0
        self._on_more, self._on_wanted = on_more, on_wanted

    @property
    def fault(self) -> str:
        """See Part."""
        return self.scene.fault

    # -- use

    def at_hand(self) -> list[int]:
        """Slots that are ours and without a connection."""
        ours = self.scene.mine(self.me) if self._frozen is None else self._frozen
        return sorted(ours - self.used.keys() - self._given.keys())

    def held(self) -> int:
        """Slots that are ours, used or at hand."""
        return len(self.ours())

    def queues(self, now_ms: int) -> bool:
        """Whether one is wanted here and there is none."""
        return now_ms < self._wanted_ms + WANTED_MS and not self.held()

    def ours(self) -> tuple[int, ...]:
        """Indexes of slots that are ours."""
        ours = self.scene.mine(self.me) if self._frozen is None else self._frozen
        return tuple(sorted(ours - self._given.keys()))

    # -- while the store is silent

    def freeze(self) -> None:
        """The session is over: what is ours now is all there is until the next one."""
        self._frozen = frozenset(self.ours())

    def limbo(self) -> tuple[int, ...]:
        """Slots given up before the store fell silent; nobody knows whether they arrived anywhere."""
        mine = self.scene.mine(self.me)
        return tuple(sorted(i for i, given in self._given.items() if not given.linger and i in mine))

    def holds(self, index: int) -> bool:
        """Whether a slot is ours, or may come to be while the store is silent."""
        return self._frozen is None or index in self._frozen

    def resumed(self, index: int) -> None:
        """It arrived nowhere, by everybody's word: it is ours as before."""
        if self._frozen is not None and self._given.pop(index, None) is not None:
            self._frozen |= {index}
            self._on_more()

    def remembered(self, indexes: Sequence[int], held: Held, *, vanished_ms: int | None = None) -> None:
        """After a restart while the store is silent: slots our notes say we held.

        Their connections are closed, but for those of a machine that went down itself, no later than ``vanished_ms``:
        these may be counted for a while yet.
        """
        if vanished_ms is not None:
            self._rests_until_ms = vanished_ms + self._linger_ms
        self.me = Me(node=self.me.node, inc=held.inc, lease=held.lease, boot=held.boot)
        for index in indexes:
            self.scene.slots.setdefault(
                index,
                Item(
                    key=f"{self.scene.keys.slots}{index}",
                    value=self.me.owner.encode(),
                    create_revision=0,
                    mod_revision=0,
                    lease=held.lease,
                ),
            )
        self._frozen = frozenset(indexes)

    def take(self, now_ms: int) -> SlotLease | None:
        """Use a slot at hand; none is remembered as demand."""
        free = self.at_hand()
        if not free or (self._frozen is not None and now_ms < self._rests_until_ms):
            self._wanted_ms = now_ms
            return None
        self._wanted_ms = NEVER_MS  # met; whoever needs another asks again
        lease = SlotLease(account=self.account, index=free[0])
        self.used[lease.index] = lease
        self._unused_ms.pop(lease.index, None)
        return lease

    def give_back(self, lease: SlotLease, now_ms: int, *, linger: bool, heard: bool) -> bool:
        """The connection is closed; whether the slot is at hand again. A silent store hands nothing over."""
        if self.used.get(lease.index) is not lease:
            self._silent = self._silent or linger
            return False
        del self.used[lease.index]
        item = self.scene.slots.get(lease.index)
        if lease.index not in self.scene.mine(self.me) or item is None:
            return False
        self._unused_ms[lease.index] = now_ms
        if linger or (heard and self._somebody_else_waits()):
            self._given[lease.index] = Given(linger=linger, mod_revision=item.mod_revision)
            return False
        return True

    def _somebody_else_waits(self) -> bool:
        return any(node != self.me.node for node in self.scene.waits)

    # -- the mover's side

    def begin(self, at: Moment) -> None:
        """See Part. Connections of an earlier session are closed by now; their slots are no longer ours."""
        session = at.session
        for index in [index for index, item in self.scene.slots.items() if not item.mod_revision]:
            del self.scene.slots[index]  # only remembered: the watch has told what is there
        self._silent = self._silent or any(given.linger for given in self._given.values())
        self.me = Me(node=self.me.node, inc=session.inc, lease=session.lease, boot=at.boot)
        self.used.clear()
        self._given.clear()
        self._frozen = None
        self._unused_ms.clear()
        self._busy = self._doubtful = False

    def news(self, key: str, item: Item | None, revision: int, at: Moment) -> None:
        """See Part."""
        before = self.at_hand()
        self.scene.learned(key, item, at.boot_ms)
        self._seen_revision = max(self._seen_revision, revision)
        for index in [index for index, given in self._given.items() if self._gone(index, given)]:
            del self._given[index]
        if len(self.at_hand()) > len(before):
            self._unused_ms |= dict.fromkeys(set(self.at_hand()) - set(before), at.now_ms)
            self._on_more()

    def _gone(self, index: int, given: Given) -> bool:
        item = self.scene.slots.get(index)
        return item is None or item.mod_revision != given.mod_revision

    def tell(self) -> None:
        """Say whether somebody else waits for a connection of ours."""
        wanted = self._somebody_else_waits() and bool(self.used)
        if wanted != self._told:
            self._told = wanted
            self._on_wanted(self.account, wanted)

    def proposals(self, at: Moment) -> list[Proposal]:
        """See Part: one transaction at a time."""
        self.tell()
        if self._busy or self._seen_revision < self._written_revision:
            return []
        rules = self._rules(at)
        turn = self._giving(rules, at.now_ms) or self._taking(rules, at.now_ms)
        return [] if turn is None else [self._proposal(turn)]

    def _rules(self, at: Moment) -> Rules:
        owners = {self.scene.record[f"{turns.HELD}{index}"] for index in self.scene.gone_ms}
        closed = {owner for owner in owners if (not self._silent if self._is_ours(owner) else at.closed(owner))}
        return Rules(
            sessions=self.sessions,
            linger_ms=self._linger_ms,
            began_ms=at.session.began_ms,
            now_ms=at.boot_ms,
            closed=frozenset(closed),
        )

    def _is_ours(self, owner: str) -> bool:
        whose = turns.Me.read(owner)
        return whose is not None and (whose.node, whose.boot) == (self.me.node, self.me.boot)

    def _giving(self, rules: Rules, now_ms: int) -> Turn | None:
        for index in self.at_hand():
            unused_ms = now_ms - self._unused_ms.setdefault(index, now_ms)
            waited_for = self._somebody_else_waits() and unused_ms >= UNUSED_MS
            if waited_for or (unused_ms >= KEEP_MS and now_ms >= self.needed_until_ms() + WANTED_MS):
                item = self.scene.slots[index]
                self._given[index] = Given(linger=False, mod_revision=item.mod_revision)
        for index, given in sorted(self._given.items()):
            turn = turns.give(self.scene, self.me, rules, index, linger=given.linger)
            if turn is not None:
                return turn
        return None

    def _taking(self, rules: Rules, now_ms: int) -> Turn | None:
        if now_ms >= self._wanted_ms + WANTED_MS:
            return turns.wait_no_more(self.scene, self.me)
        mine = self.held()
        if self.at_hand() or mine >= rules.usable or (mine and self.scene.waits):
            return None
        self._gap_ms = self._gap_ms or rules.now_ms
        turn = turns.take(self.scene, self.me, rules, since_ms=self._gap_ms)
        if turn is not None or mine:
            return turn
        full = len(self.scene.slots) >= rules.usable
        self._gap_ms = 0 if full else self._gap_ms
        return turns.wait(self.scene, self.me)

    def _proposal(self, turn: Turn) -> Proposal:
        return Proposal(
            compares=turn.compares,
            writes=turn.writes,
            sending=self._sending,
            done=self._done,
            undone=lambda _: self._free(),
            refused=self._refused,
            unanswered=self._unanswered,
        )

    def _sending(self) -> None:
        self._busy = True

    def _done(self, revision: int) -> None:
        self._busy = self._doubtful = False
        self._silent = False
        self._gap_ms = 0
        self._written_revision = revision

    def _refused(self) -> None:
        """It did not happen: what was to be given up is at hand again, unless an earlier try may still happen."""
        self._busy = False
        if not self._doubtful:
            self._given = {index: given for index, given in self._given.items() if given.linger}

    def _unanswered(self) -> None:
        self._busy, self._doubtful = False, True

    def _free(self) -> None:
        """Nothing is assumed: what became of it comes with the watch, and every condition is of what was seen."""
        self._busy = False
