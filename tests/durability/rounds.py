"""Rounds on a living cluster: each does its faults, waits until all is whole again, and says what came of it."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.rehearsal.load.client import Result
from node.rehearsal.load.ledger import read_ledger
from tests.durability import judge
from tests.durability.judge import Deliveries, Done, Lost, Repetition
from tests.durability.machine import Machine
from tests.durability.plan import Act, Round, Step
from tests.durability.watch import Seen, Watch, Wholeness, now_ms
from tests.durability.world import CLIENTS, World

WHOLE_S: Final = 60.0
HOPELESS_S: Final = 180.0
"""A cluster that is not whole by then is given up."""
QUARANTINE_S: Final = 25.0
QUIET_S: Final = 15.0
"""A node on an older disk is watched for so long, unless its mail is taken over before."""
TAKEOVER_MS: Final = 15_000
"""Lease, delay and a busy machine: what is to be taken over is another's by then."""
SOME: Final = 5
"""So much mail waits on a node that not all of it can be settled by the time it is lost."""
FALLS: Final = 20
"""Nodes that end by themselves are started again so often in a run."""
PAUSE_S: Final = 0.05
TAKEN_OVER: Final = frozenset({Act.DESTROY, Act.POWER, Act.KILL, Act.PUT_BACK, Act.FREEZE})


class HopelessError(Exception):
    """The cluster did not become whole; the text says what stands in the way."""


@dataclass(kw_only=True)
class Outcome:
    """What came of a round."""

    number: int
    title: str
    began_ms: int
    resumed_s: dict[str, float | None] = field(default_factory=dict)
    """By node that was lost: to the first delivery by another of what it had accepted."""
    taken_over_s: dict[str, float | None] = field(default_factory=dict)
    """By node that was lost: until another had its mail; None: it had none, or was back before."""
    whole_s: float = 0.0
    """From the first step to full protection."""
    after_s: float = 0.0
    """From the last step."""
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Runner:
    """Does rounds one after the other."""

    def __init__(self, world: World):
        self.world, self.watch = world, Watch(world)
        self.deliveries = Deliveries()
        self.done: list[Done] = []
        self.repeated: list[Repetition] = []
        self._result = Outcome(number=-1, title="start", began_ms=now_ms())
        self.results = [self._result]
        self.kept: set[str] = set()
        """Messages that still wait at the end."""
        self._copies: dict[str, Path] = {}
        self._judged = self._falls = 0
        self._acts = {
            Act.DESTROY: Machine.destroy, Act.POWER: Machine.lose_power, Act.KILL: Machine.kill, Act.BOOT: Machine.boot,
            Act.FREEZE: Machine.freeze, Act.THAW: Machine.thaw, Act.STOP: Machine.ask_to_stop,
            Act.STOPPED: Machine.stopped, Act.WIPE: Machine.destroy,
            Act.FILL: lambda machine: machine.disk.fill(), Act.CLEAR: lambda machine: machine.disk.clear(),
            Act.PUT_BACK: lambda machine: machine.put_back(self._copies.pop(machine.name)),
            Act.SNAPSHOT: self._snapshot, Act.QUARANTINED: self._quarantined,
        }  # fmt: skip

    # -- one round

    def start(self) -> None:
        """Wait until the new cluster is whole, and begin to send."""
        self._until_whole(120.0)
        self.world.start_loads()
        self._pass(5.0)
        self._until_whole(WHOLE_S)

    def run(self, plan: Round) -> Outcome:
        """Do one round; raises HopelessError."""
        self._result = result = Outcome(number=plan.number, title=plan.title, began_ms=now_ms())
        self.results.append(result)
        began_s, before = time.monotonic(), len(self.done)
        for step in plan.steps:
            self._pass(began_s + step.at_s - time.monotonic())
            self._do(plan.number, step)
        last_ms = now_ms()
        mine = self.done[before:]
        self._taken_over(mine)
        self._recover()
        result.whole_s = (now_ms() - mine[0].began_ms) / 1000
        result.after_s = (now_ms() - last_ms) / 1000
        self._judge()
        takeovers = self.watch.takeovers()
        for each in mine:
            if each.act in TAKEN_OVER:
                since_ms = judge.begun_ms(each.node, each.began_ms, self.done)
                result.taken_over_s[each.node] = judge.taken_over_s(each.node, each.began_ms, takeovers)
                result.resumed_s[each.node] = judge.resumed_s(each.node, each.began_ms, self.watch.receipts, since_ms)
        return result

    def _do(self, number: int, step: Step) -> None:
        machine, began_ms = self.world.machines[step.node], now_ms()
        if step.act in (Act.CUT, Act.MEND):
            for line in self.world.lines(step.node, step.what):
                self.world.star.cut(line, off=step.act is Act.CUT)
        else:
            try:
                self._acts[step.act](machine)
            except AssertionError as error:
                self._problem(str(error))
        self.done.append(
            Done(round=number, node=step.node, act=step.act, what=step.what, began_ms=began_ms, ended_ms=now_ms())
        )

    def _taken_over(self, mine: list[Done]) -> None:
        """Wait until another node has the mail of each lost disk: before, it lies on one machine alone.

        A node that had little may have had nothing by the time it was lost: then nobody says so.
        """
        for each in mine:
            if each.act not in judge.FORGETS:
                continue
            much = judge.waited(each.node, each.began_ms, self.watch.seen) >= SOME
            until_ms = each.began_ms + (TAKEOVER_MS if not much else 1_000 * WHOLE_S)
            while judge.taken_over_s(each.node, each.began_ms, self.watch.takeovers()) is None and now_ms() < until_ms:
                self._pass(0.5)
            if much and now_ms() >= until_ms:
                self._problem(f"nobody took over what the lost disk of {each.node} had")

    def _recover(self) -> None:
        try:
            self._until_whole(WHOLE_S)
        except HopelessError as error:
            self._problem(f"not whole {WHOLE_S:.0f} s after the last step: {error}")
            self._until_whole(HOPELESS_S)

    def _snapshot(self, machine: Machine) -> None:
        self._copies[machine.name] = machine.disk.snapshot()

    def _quarantined(self, machine: Machine) -> None:
        """Look whether a node on an older disk keeps still, and whether its shadow takes over meanwhile."""
        since_ms, end = now_ms(), time.monotonic() + QUARANTINE_S
        seen: Seen | None = None
        while not (seen and any("quarantined" in reason for reason in seen.reasons)):
            if time.monotonic() > end:
                self._problem(f"{machine.name} on an older disk is not quarantined: {seen}")
                return
            self._pass(0.2)
            seen = self.watch.state(machine)
        self._result.notes.append(f"quarantined {(now_ms() - since_ms) / 1000:.1f} s after its start")
        over = self._keeps_still(machine, since_ms)
        self._result.notes.append(f"mail taken over {over:.1f} s after its start" if over else "no mail taken over")

    def _keeps_still(self, machine: Machine, since_ms: int) -> float | None:
        """Watch a quarantined node for a while, or until its mail is another's; give when that was."""
        end = time.monotonic() + QUIET_S
        while (over := judge.taken_over_s(machine.name, since_ms, self.watch.takeovers())) is None:
            self._pass(0.5)
            if time.monotonic() > end:
                break
        self._judge()
        by_it = sum(one.sent_by == machine.name and one.at_ms > since_ms for one in self.watch.receipts)
        if by_it:
            self._problem(f"{machine.name} sent {by_it} messages from an older disk")
        return over

    # -- waiting

    def _pass(self, duration_s: float) -> None:
        """Let time pass, looking."""
        end = time.monotonic() + duration_s
        while True:
            if self.watch.look():
                self._judge()
            self._fallen()
            if (left_s := end - time.monotonic()) <= 0:
                return
            time.sleep(min(PAUSE_S, left_s))

    def _fallen(self) -> None:
        """A node that ended by itself is told, and started again as systemd would."""
        for machine in self.world.machines.values():
            if said := machine.ended():
                self._problem(said)
                self._falls += 1
                if self._falls > FALLS:
                    raise HopelessError(f"nodes ended by themselves {self._falls} times; {said}")
                machine.boot()

    def _until_whole(self, bound_s: float) -> None:
        end, wholeness = time.monotonic() + bound_s, Wholeness()
        while not wholeness.look(states := self.watch.states()):
            if time.monotonic() > end:
                raise HopelessError(f"{states}")
            self._pass(0.1)

    def _problem(self, text: str) -> None:
        self._result.problems.append(text)

    # -- judging

    def _judge(self) -> None:
        """Look at what was delivered since; repetitions are explained while journeys are still there."""
        self.watch.take()
        fresh = self.watch.receipts[self._judged :]
        self._judged = len(self.watch.receipts)
        repeated = self.deliveries.add(fresh)
        done = [*self.done, *judge.ended(self.watch.sessions_ended() if repeated else ())]
        for recipient, first, again in repeated:
            unknown = self._unknown(first.queue_id)
            self.repeated.append(
                judge.repetition(recipient, first, again, unknown=unknown, done=done, seen=self.watch.seen)
            )

    def _unknown(self, queue_id: str) -> bool:
        """Whether any node's journey calls an attempt of a message unknown."""
        told = [machine.ask(f"/v1/messages/{queue_id}") for machine in self.world.machines.values()]
        return any(line["event"] == "unknown" for one in told if one for line in one["lines"])

    # -- the end

    def finish(self, empty_s: float) -> list[Lost]:
        """Stop the load, wait at most so long until everything is delivered, and compare with what was promised."""
        self._result = Outcome(number=-1, title="end", began_ms=now_ms())
        self.results.append(self._result)
        for complaint in self.world.stop_loads():
            self._problem(complaint)
        end = time.monotonic() + empty_s
        while any(one is None or one.waiting for one in self.watch.states()) and time.monotonic() < end:
            self._pass(0.5)
        self.kept = self._kept()
        self._judge()
        return judge.lost(self.promises(), self.deliveries, self.kept, self.done, self.watch.seen)

    def _kept(self) -> set[str]:
        """Name what still waits, and leave its journeys where the logs are."""
        waiting = [(machine, name) for machine in self.world.machines.values() for name in machine.queued()]
        told = [machine.ask(f"/v1/messages/{name}") for machine, name in waiting]
        (self.world.home / "waiting.json").write_text(json.dumps(told, indent=1))
        return {name for _, name in waiting}

    def promises(self) -> dict[str, list[tuple[str, str, tuple[str, ...]]]]:
        return {
            kind: [
                (entry.id, entry.queue_id, entry.recipients)
                for entry in read_ledger(self.world.ledger(kind))
                if entry.result is Result.ACCEPTED
            ]
            for kind in CLIENTS
        }
