"""What goes wrong in a round, drawn from a seed: which faults, where, and when each of their steps comes. Pure."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Fault(StrEnum):
    """What may happen to a machine."""

    DESTROY = "destroy"
    POWER = "cut power"
    OLD_DISK = "older disk"
    KILL = "kill"
    FREEZE = "freeze"
    CUT_ETCD = "cut from etcd"
    CUT_PEERS = "cut from peers"
    CUT_UPSTREAM = "cut from upstream"
    FULL = "full disk"
    STOP = "stop"


MEANING: Final = {
    Fault.DESTROY: "kill -9 of all on a machine, an empty disk; started after 1–10 s",
    Fault.POWER: "what was not synced is gone; started after 0.2–10 s",
    Fault.OLD_DISK: "a copy of 13–16 s before is put back; wiped once its mail is another's",
    Fault.KILL: "kill -9, started after 0–15 s",
    Fault.FREEZE: "SIGSTOP for 2–25 s",
    Fault.CUT_ETCD: "that line is dead for 3–25 s",
    Fault.CUT_PEERS: "both lines, as long",
    Fault.CUT_UPSTREAM: "as long",
    Fault.FULL: "no block left for 1–8 s",
    Fault.STOP: "SIGTERM, started 0–3 s after its end",
}


class Act(StrEnum):
    """One step of a fault."""

    DESTROY = "destroy"
    POWER = "power"
    KILL = "kill"
    BOOT = "boot"
    FREEZE = "freeze"
    THAW = "thaw"
    CUT = "cut"
    MEND = "mend"
    FILL = "fill"
    CLEAR = "clear"
    STOP = "stop"
    STOPPED = "stopped"
    SNAPSHOT = "snapshot"
    PUT_BACK = "put back"
    QUARANTINED = "quarantined"
    WIPE = "wipe"


LOSES_DISK: Final = frozenset({Fault.DESTROY, Fault.OLD_DISK})
SNAPSHOT_AGE_S: Final = 13.0
"""A spool tells how far it has come every 10 s (``spools.NOTE_MS``): a copy older than that is known for one."""
WEIGHTS: Final = {
    Fault.DESTROY: 4, Fault.POWER: 3, Fault.OLD_DISK: 1, Fault.KILL: 3, Fault.FREEZE: 3, Fault.CUT_ETCD: 2,
    Fault.CUT_PEERS: 2, Fault.CUT_UPSTREAM: 2, Fault.FULL: 2, Fault.STOP: 2,
}  # fmt: skip
TWO_AT_ONCE: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is done to a node, seconds after the round begins."""

    at_s: float
    node: str
    fault: Fault
    act: Act
    what: str = ""
    """The path that is cut: ``etcd``, ``peers``, ``upstream``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """All steps in order of time, and what they are called."""

    number: int
    faults: tuple[tuple[Fault, str], ...]
    """With the node each befalls."""
    steps: tuple[Step, ...]

    @property
    def title(self) -> str:
        return " and ".join(f"{fault} {node}" for fault, node in self.faults)


def _cut(what: str) -> Callable[[random.Random], list[tuple[float, Act, str]]]:
    return lambda rng: [(0.0, Act.CUT, what), (skewed(rng, 3, 25), Act.MEND, what)]


def skewed(rng: random.Random, least: float, most: float) -> float:
    """Draw between two durations, short ones more often: as many between 3 and 6 as between 12 and 24."""
    return least * (most / least) ** rng.random()


def _old_disk(rng: random.Random) -> list[tuple[float, Act, str]]:
    put_s = SNAPSHOT_AGE_S + rng.uniform(0, 3)
    return [
        (0.0, Act.SNAPSHOT, ""), (put_s, Act.PUT_BACK, ""), (put_s + 0.5, Act.BOOT, ""),
        (put_s + 1.0, Act.QUARANTINED, ""), (put_s + 2.0, Act.WIPE, ""), (put_s + 3.0, Act.BOOT, ""),
    ]  # fmt: skip


COURSES: Final[dict[Fault, Callable[[random.Random], list[tuple[float, Act, str]]]]] = {
    Fault.DESTROY: lambda rng: [(0.0, Act.DESTROY, ""), (rng.uniform(1, 10), Act.BOOT, "")],
    Fault.POWER: lambda rng: [(0.0, Act.POWER, ""), (rng.uniform(0.2, 10), Act.BOOT, "")],
    Fault.OLD_DISK: _old_disk,
    Fault.KILL: lambda rng: [(0.0, Act.KILL, ""), (rng.uniform(0, 15), Act.BOOT, "")],
    Fault.FREEZE: lambda rng: [(0.0, Act.FREEZE, ""), (skewed(rng, 2, 25), Act.THAW, "")],
    Fault.CUT_ETCD: _cut("etcd"),
    Fault.CUT_PEERS: _cut("peers"),
    Fault.CUT_UPSTREAM: _cut("upstream"),
    Fault.FULL: lambda rng: [(0.0, Act.FILL, ""), (rng.uniform(1, 8), Act.CLEAR, "")],
    Fault.STOP: lambda rng: [(0.0, Act.STOP, ""), (0.1, Act.STOPPED, ""), (0.1 + rng.uniform(0, 3), Act.BOOT, "")],
}


def course(fault: Fault, node: str, rng: random.Random, begin_s: float) -> list[Step]:
    """Give the steps of one fault."""
    drawn = COURSES[fault](rng)
    return [Step(at_s=begin_s + at_s, node=node, fault=fault, act=act, what=what) for at_s, act, what in drawn]


def made(number: int, faults: Sequence[tuple[Fault, str]], rng: random.Random) -> Round:
    """Give a round of these faults, each at a moment of its own within two seconds."""
    steps = [
        step for fault, node in faults for step in course(fault, node, rng, begin_s=round(rng.uniform(0.2, 2.2), 3))
    ]
    return Round(number=number, faults=tuple(faults), steps=tuple(sorted(steps, key=lambda step: step.at_s)))


def drawn(number: int, seed: int, nodes: Sequence[str]) -> Round:
    """Draw a round: mostly one fault, sometimes two on two nodes; never more than one disk is lost with what is on it.

    An older disk comes alone: what it shows is looked at in quiet.
    """
    rng = random.Random(f"{seed}/{number}")
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    first = rng.choices(names, weights)[0]
    here, there, _ = rng.sample(list(nodes), 3)
    faults = [(first, here)]
    if first is not Fault.OLD_DISK and rng.random() < TWO_AT_ONCE:
        second = rng.choices(names, weights)[0]
        if not (second in LOSES_DISK and (first in LOSES_DISK or second is Fault.OLD_DISK)):
            faults.append((second, there))
    return made(number, faults, rng)
