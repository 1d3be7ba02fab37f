"""A whole run: the cluster made, its rounds, its end, and the summary."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from tests.durability import disks
from tests.durability.plan import Round
from tests.durability.report import Summary
from tests.durability.rounds import HopelessError, Outcome, Runner
from tests.durability.world import Load, World

EMPTY_S: Final = 200.0
"""What is put off, or unknown, is tried again after a minute."""


def run(
    home: Path,
    rounds: Iterable[Round],
    seed: int,
    load: Load,
    told: Callable[[Outcome], None] = lambda _outcome: None,
    empty_s: float = EMPTY_S,
) -> Summary:
    """Do rounds on a new cluster below *home*, then wait at most so long until all is delivered.

    ``told`` hears of each round when it is over.
    """
    began_s = time.monotonic()
    with World(home, disks.home(), load, seed) as world:
        runner = Runner(world)
        runner.start()
        for each in rounds:
            try:
                told(runner.run(each))
            except HopelessError as error:
                runner.results[-1].problems.append(f"given up: {error}")
                told(runner.results[-1])
                break
        lost = runner.finish(empty_s)
        told(runner.results[-1])
        return _summary(runner, seed, lost, time.monotonic() - began_s)


def _summary(runner: Runner, seed: int, lost: list, took_s: float) -> Summary:
    stats = runner.world.cloud.stats()
    accounts = stats["accounts"].values()
    return Summary(
        seed=seed,
        rounds=sum(one.number >= 0 for one in runner.results),
        took_s=took_s,
        accepted={kind: len(entries) for kind, entries in runner.promises().items()},
        delivered=len(runner.deliveries.of),
        kept=len(runner.kept),
        lost=lost,
        repeated=runner.repeated,
        violations=stats["violations"]["total"],
        sessions_peak=max((one["sessions_peak"] for one in accounts), default=0),
        worst_window=max((one["worst_window"] for one in accounts), default=0),
        problems=[f"round {one.number}: {text}" for one in runner.results for text in one.problems],
        outcomes=[one for one in runner.results if one.number >= 0],
        done=runner.done,
    )
