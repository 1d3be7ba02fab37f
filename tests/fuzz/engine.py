"""Runs one target: changes what went new ways, keeps what goes new ways, makes what breaks a law small.

The same seed gives the same inputs in the same order, however fast the machine is; only the end depends on time.
"""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.fuzz.mutate import mutated
from tests.fuzz.reach import Reach
from tests.fuzz.target import ROOT, Read, Target

KEPT_MAX = 5_000
FINDINGS_MAX = 10
SMALLER_TRIES = 400
BLIND = 4
"""So many inputs are read without looking which way they go, for one that is followed: they cost a tenth."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An input that broke a law: what was raised, and where."""

    data: bytes
    kind: str
    place: str
    text: str


@dataclass(slots=True)
class Outcome:
    """What a run came to."""

    name: str
    executions: int = 0
    steps: int = 0
    kept: int = 0
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)


def tried(read: Read, data: bytes) -> Finding | None:
    """Read one input; give what it broke."""
    try:
        read(data)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        frames = traceback.extract_tb(error.__traceback__)
        inside = [one for one in frames if one.filename.startswith(str(ROOT))] or frames
        last = inside[-1]
        return Finding(data, type(error).__name__, f"{Path(last.filename).name}:{last.name}", str(error)[:300])
    return None


def fuzz(target: Target, place: Path, *, seed: int, go_on: Callable[[Outcome], bool]) -> Outcome:
    """Fuzz until ``go_on`` says no, or enough was found."""
    outcome, began = Outcome(target.name), time.monotonic()
    with target.open(place) as read:
        run = _Run(target, read, Random(f"{seed} {target.name}"), outcome)
        for data in target.seeds:
            run.one(data)
        while go_on(outcome) and len(outcome.findings) < FINDINGS_MAX:
            run.one(run.next(), followed=outcome.executions % (BLIND + 1) == 0)
        outcome.findings[:] = [smaller(read, one) for one in outcome.findings]
    outcome.seconds = time.monotonic() - began
    return outcome


class _Run:
    def __init__(self, target: Target, read: Read, chance: Random, outcome: Outcome) -> None:
        self._target, self._read, self._chance, self._outcome = target, read, chance, outcome
        self._kept: list[bytes] = list(target.seeds) or [b""]
        self._reach = Reach(target.watched)
        self._told: set[tuple[str, str]] = set()

    def next(self) -> bytes:
        chance, kept = self._chance, self._kept
        # What was kept last is where new ways lead on from.
        base = kept[-1 - int(len(kept) * chance.random() ** 2)] if chance.random() < 0.7 else chance.choice(kept)
        return mutated(chance, base, kept, self._target.tokens, self._target.input_max)

    def one(self, data: bytes, *, followed: bool = True) -> None:
        outcome, reach = self._outcome, self._reach
        if followed:
            with reach:
                found = tried(self._read, data)
            if reach.new() and len(self._kept) < KEPT_MAX:
                self._kept.append(data)
            outcome.steps, outcome.kept = len(reach.seen), len(self._kept)
        else:
            found = tried(self._read, data)
        outcome.executions += 1
        if found is not None and (found.kind, found.place) not in self._told:
            self._told.add((found.kind, found.place))
            outcome.findings.append(found)


def smaller(read: Read, found: Finding) -> Finding:
    """Take pieces away as long as it breaks in the same place."""
    best, tries, size = found, 0, max(1, len(found.data) // 2)
    while size and tries < SMALLER_TRIES:
        for start in range(0, len(best.data), size):
            tries += 1
            less = tried(read, best.data[:start] + best.data[start + size :])
            if less is not None and (less.kind, less.place) == (found.kind, found.place):
                best = less
                break
        else:
            size //= 2
        if tries >= SMALLER_TRIES:
            break
    return best
