"""``python -m tests.durability``: rounds of faults on three nodes under load; nothing promised may be lost."""

import argparse
import signal
import sys
from pathlib import Path

from tests.durability import plan, report
from tests.durability.disks import usable
from tests.durability.rounds import Outcome
from tests.durability.run import run
from tests.durability.world import NAMES, Load, base


def parse() -> argparse.Namespace:
    usual = Load()
    parser = argparse.ArgumentParser(prog="python -m tests.durability", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--preferred", type=float, default=usual.preferred, help="messages a second that prefer a copy")
    parser.add_argument("--strict", type=float, default=usual.strict, help="messages a second that require one")
    parser.add_argument("--accounts", type=int, default=usual.accounts)
    parser.add_argument("--home", type=Path, help="where logs and ledgers are kept")
    return parser.parse_args()


def tell(outcome: Outcome) -> None:
    print(report.line(outcome), flush=True)


def main() -> int:
    options = parse()
    if not usable():
        print("needs root, mkfs.ext4 and loop devices", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    home = options.home or base()
    home.mkdir(parents=True, exist_ok=True)
    print(f"logs and ledgers: {home}", flush=True)
    load = Load(preferred=options.preferred, strict=options.strict, accounts=options.accounts)
    rounds = [plan.drawn(options.first + number, options.seed, NAMES) for number in range(options.rounds)]
    summary = run(home, rounds, options.seed, load, tell)
    print(report.text(summary), flush=True)
    if options.json:
        report.write(summary, options.json)
    return 0 if summary.good else 1


if __name__ == "__main__":
    sys.exit(main())
