"""Carries a drill out: announce, wait for health, do, undo, wait, judge; and stop at the first thing that is not so.

The world does and looks; the verdict comes from the histories alone.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from node.rehearsal.checking.check import check
from node.rehearsal.checking.files import HistoryWriter, read_history
from node.rehearsal.checking.records import Ended, Kept
from node.rehearsal.checking.records import Fault as Done
from node.rehearsal.checking.verdict import Verdict
from node.rehearsal.drill.faults import FAULTS, Fault, Kind, Target
from node.rehearsal.drill.figures import Look, gap_ms, takeover_ms
from node.rehearsal.drill.outcome import Skipped, Step
from node.rehearsal.errors import RehearsalInputError
from node.rehearsal.load.client import Result
from node.rehearsal.load.ledger import Entry, read_ledger

LOOK_S: Final = 0.2
WHOLE_S: Final = 180.0
"""Longest the cluster may take to be whole again."""
EMPTY_S: Final = 300.0
"""Longest anything accepted may take to arrive: unknown outcomes are tried again only after a minute."""
CALM_S: Final = 3.0
"""Mail flows undisturbed for so long before a fault."""
ENTRIES_MAX: Final = 2_000_000


class World(Protocol):
    """A cluster that may be disturbed, with mail running through it."""

    ledger: Path
    history: Path
    done: Path
    """Where the drill's own deeds are written."""

    def lacks(self, kind: Kind) -> str:
        """Say why a fault cannot be done here; empty: it can."""
        ...

    def source(self, node: str) -> str:
        """Give the address the other side sees a node at; empty: it cannot be told."""
        ...

    async def begin(self, kind: Kind, node: str) -> None:
        """Do it."""
        ...

    async def end(self, kind: Kind, node: str) -> None:
        """Undo what does not undo itself."""
        ...

    async def look(self) -> Look:
        """Say how the cluster stands."""
        ...


class HistorySoFar:
    """What both sides have recorded until now."""

    def __init__(self, world: World) -> None:
        """Read anew each time: a drill's histories are small."""
        self._world = world

    def accepted(self) -> list[Entry]:
        """Give every promise, in order of time."""
        found = [one for one in read_ledger(self._world.ledger) if one.result is Result.ACCEPTED]
        return sorted(found, key=lambda one: one.at_ms)

    def delivered(self) -> list[Ended]:
        """Give everything taken, in order."""
        return [one for one in read_history(self._world.history) if isinstance(one, Ended) and one.taken]

    def missing(self, until_ms: float) -> int:
        """Count the recipients promised until a moment that nobody has got."""
        there = {(one.id, to.lower()) for one in self.delivered() for to in one.recipients}
        promised = {(one.id, to.lower()) for one in self.accepted() if one.at_ms <= until_ms for to in one.recipients}
        return len(promised - there)

    def judge(self, until_ms: float) -> Verdict:
        """Decide on everything promised until a moment; what came later may still be on its way."""
        later = [Kept(at_ms=0.0, id=one.id) for one in self.accepted() if one.at_ms > until_ms]
        return check(read_ledger(self._world.ledger), read_history(self._world.history), [*self._deeds(), *later])

    def _deeds(self) -> list[Done]:
        return [one for one in read_history(self._world.done) if isinstance(one, Done)]


class Runner:
    """One drill."""

    def __init__(self, world: World, say: Callable[[str], None], patience_s: float = WHOLE_S) -> None:
        """``say`` hears what will happen and what was found; ``patience_s``: longest until the cluster is whole."""
        self.world, self._say, self._patience_s = world, say, patience_s
        self.looks: list[Look] = []
        self.steps: list[Step] = []
        self.skipped: list[Skipped] = []
        self.stopped = ""
        self.verdict: Verdict | None = None
        self._so_far = HistorySoFar(world)
        self._deeds = HistoryWriter(world.done, "drill", now_ms())

    async def run(self, kinds: Sequence[Kind], end_load: Callable[[], Awaitable[None]]) -> None:
        """Do all faults that can be done, then end the load and judge the whole."""
        watching = asyncio.create_task(self._watch(), name="drill looks")
        try:
            if await self._whole("at the beginning"):
                await self._flowing()
            for kind in kinds:
                if self.stopped:
                    break
                await self._one(kind)
            await end_load()
            await self._judge_all()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            self._deeds.close()

    # -- one fault

    async def _one(self, kind: Kind) -> None:
        if why := self.world.lacks(kind):
            self.skipped.append(Skipped(kind=kind, why=why))
            self._say(f"skipped {kind}: {why}")
            return
        fault, node = FAULTS[kind], self._target(FAULTS[kind].target)
        step = Step(kind=kind, node=node, does=fault.does.format(node=node), holds=fault.holds.format(node=node))
        self.steps.append(step)
        self._say(f"{kind}: {step.does}. Must hold: {step.holds}")
        await asyncio.sleep(CALM_S)
        await self._disturb(kind, fault, step)
        if await self._whole(f"after {kind}"):
            step.whole_ms = now_ms()
            step.protected_s = (step.whole_ms - step.began_ms) / 1000
            await self._judge(step)
        else:
            step.problems.append(self.stopped)
        self._measure(step)
        self._say(told(step))

    async def _disturb(self, kind: Kind, fault: Fault, step: Step) -> None:
        step.began_ms = now_ms()
        try:
            await self.world.begin(kind, step.node)
            await asyncio.sleep(fault.lasts_s)
        finally:
            await self.world.end(kind, step.node)
            step.ended_ms = now_ms()
            self._deeds.write(
                Done(
                    at_ms=step.began_ms,
                    until_ms=step.ended_ms,
                    kind=kind,
                    node=step.node,
                    source=self.world.source(step.node),
                    silences=fault.silences,
                )
            )

    def _target(self, target: Target) -> str:
        look = self.looks[-1]
        if target is Target.ALL:
            return ""
        if target is Target.HOLDER:
            return look.holder or look.ready[0]
        if target is Target.LEADER:
            return look.leader
        return next(node for node in look.ready if node != look.leader)

    async def _judge(self, step: Step) -> None:
        until_ms = step.whole_ms
        await self._empty(until_ms)
        try:
            found = await asyncio.to_thread(self._so_far.judge, until_ms)
        except RehearsalInputError as error:
            self._stop(step, f"the histories decide nothing: {error}")
            return
        step.lost, step.overshoot = found.lost, found.overshoot
        step.duplicated = sum(one.again_ms >= step.began_ms for one in found.duplicates)
        if not found.holds:
            self.verdict = found
            first = found.violations[0]
            self._stop(step, f"{first.invariant} {first.what}: {first.subject} {first.text}")

    def _stop(self, step: Step, why: str) -> None:
        step.problems.append(why)
        self.stopped = why

    def _measure(self, step: Step) -> None:
        until_ms = step.whole_ms or now_ms()
        taken = [float(one.at_ms) for one in self._so_far.accepted()]
        sent = [one.at_ms for one in self._so_far.delivered()]
        step.acceptance_gap_s = round(gap_ms(taken, step.began_ms, until_ms) / 1000, 3)
        step.delivery_gap_s = round(gap_ms(sent, step.began_ms, until_ms) / 1000, 3)
        held = [one for one in self.looks if one.at_ms < step.began_ms]
        if step.node and held and held[-1].holder == step.node:
            moved_ms = takeover_ms(self.looks, step.node, step.began_ms, until_ms)
            step.takeover_s = None if moved_ms is None else round(moved_ms / 1000, 3)

    # -- waiting

    async def _watch(self) -> None:
        while True:
            self.looks.append(await self.world.look())
            await asyncio.sleep(LOOK_S)

    async def _whole(self, when: str) -> bool:
        """Wait until the cluster says that it is whole; stops the drill when it does not in time."""
        since_ms, until_s = now_ms(), time.monotonic() + self._patience_s
        while not (self.looks and self.looks[-1].asked_ms >= since_ms and not self.looks[-1].troubles):
            if time.monotonic() > until_s:
                troubles = "; ".join(self.looks[-1].troubles) if self.looks else "nobody answers"
                self.stopped = f"{when} the cluster was not whole within {self._patience_s:.0f} s: {troubles}"
                return False
            await asyncio.sleep(LOOK_S)
        return True

    async def _flowing(self) -> None:
        """Wait until the first mail has arrived: before that nothing could show."""
        until_s = time.monotonic() + self._patience_s
        delivered = await asyncio.to_thread(self._so_far.delivered)
        while not delivered:
            if time.monotonic() > until_s:
                self.stopped = f"no mail arrived within {self._patience_s:.0f} s"
                return
            await asyncio.sleep(LOOK_S)
            delivered = await asyncio.to_thread(self._so_far.delivered)

    async def _empty(self, until_ms: float) -> None:
        """Wait until everything promised until a moment has arrived; whether it has, the check decides."""
        end_s = time.monotonic() + EMPTY_S
        missing = await asyncio.to_thread(self._so_far.missing, until_ms)
        while missing and time.monotonic() < end_s:
            await asyncio.sleep(1.0)
            missing = await asyncio.to_thread(self._so_far.missing, until_ms)

    async def _judge_all(self) -> None:
        """Judge the whole, with nothing on its way any more."""
        if self.verdict is not None:
            return
        self._say("the load has ended; waiting for what is still on its way")
        await self._empty(now_ms())
        try:
            self.verdict = await asyncio.to_thread(self._so_far.judge, now_ms())
        except RehearsalInputError as error:
            self.stopped = self.stopped or f"the histories decide nothing: {error}"
            return
        if not self.verdict.holds and not self.stopped:
            first = self.verdict.violations[0]
            self.stopped = f"{first.invariant} {first.what}: {first.subject} {first.text}"


def told(step: Step) -> str:
    """Give a step's figures as one line."""
    moved = f"address elsewhere after {step.takeover_s:.1f} s, " if step.takeover_s is not None else ""
    whole = f"whole after {step.protected_s:.1f} s" if step.protected_s is not None else "NOT whole again"
    figures = (
        f"{step.kind}: {moved}no 250 for {step.acceptance_gap_s:.1f} s at most, {whole};"
        f" lost {step.lost}, duplicated {step.duplicated}, overshoot {step.overshoot}"
    )
    return "\n".join([figures, *(f"  VIOLATION {problem}" for problem in step.problems)])


def now_ms() -> float:
    """Milliseconds since the epoch."""
    return time.time_ns() / 1_000_000
