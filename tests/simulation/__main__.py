"""Run any number of seeds by hand: ``python -m tests.simulation --seeds 0-1000 --hours 1 --world copies``."""

import argparse
import sys
import time

from tests.simulation import cluster_copies_runs, cluster_runs, cluster_shares
from tests.simulation.cluster_world import Violation

TAIL = 60


def seeds(text: str) -> range:
    """``7`` or ``0-1000`` (the last one not included)."""
    first, _, last = text.partition("-")
    try:
        found = range(int(first), int(last) if last else int(first) + 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: a number or two, as in 0-1000") from None
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} names no seed")
    return found


def run(world: str, seed: int, hours: float) -> None:
    """One seed: as in the suite for an hour, dense faults for a minute or two with ``--hours 0``."""
    long, short = WORLDS[world]
    if hours:
        long(seed, hours)
    else:
        short(seed)


WORLDS = {
    "address": (cluster_runs.hour, cluster_runs.simulate),
    "budget": (cluster_shares.hour, cluster_shares.simulate),
    "copies": (cluster_copies_runs.hour, cluster_copies_runs.simulate),
}


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1 when an invariant broke; every such seed is named with the end of its log."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=seeds, default=range(100), metavar="0-1000")
    parser.add_argument("--hours", type=float, default=1.0, help="length of each run; 0: 90 s of dense faults")
    parser.add_argument("--world", choices=tuple(WORLDS), default="address")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first seed that fails")
    options = parser.parse_args(arguments)
    began, failed, done = time.monotonic(), 0, 0
    for seed in options.seeds:
        done += 1
        try:
            run(options.world, seed, options.hours)
        except Violation as error:
            failed += 1
            lines = str(error).splitlines()
            print(f"seed {seed}: {lines[0]}", *lines[1:][-TAIL:], sep="\n", flush=True)
            if not options.keep_going:
                break
    took_s = time.monotonic() - began
    print(f"{done} seeds of {options.hours:g} h, {failed} failed, {done / took_s:.2f} seeds/s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
