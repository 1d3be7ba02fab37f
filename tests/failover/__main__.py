"""``python -m tests.failover``: takeover of a virtual address measured, the relay's and keepalived's, case by case."""

import argparse
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from tests.failover import document
from tests.failover.cases import CASES, Case
from tests.failover.report import Report
from tests.failover.rig import Rig, run
from tests.failover.subjects import SUBJECTS, Variant

DOCUMENT = Path("docs/failover.md")
HELD_UP_S = 0.1
"""A client held up for longer has seen nothing worth telling: another attempt every 50 ms is what it is for."""
REPEATS = 4
"""Runs made for one that counts, at most."""


def chosen(options: argparse.Namespace) -> list[tuple[Variant, Case]]:
    """Give what is to be measured, in order."""
    return [
        (variant, case)
        for variant in SUBJECTS
        for case in CASES
        if (not options.only or case.name in options.only)
        and (not options.subject or variant.name in options.subject)
        and variant.takes(case)
    ]


def prepare(case: Case, rig: Rig) -> None:
    """Put etcd's leader where the case wants it."""
    place = getattr(rig.subject, "place_leader", None)
    if place is not None:
        place(rig.holder if case.leader == "holder" else rig.other)


def measure(base: Path, report: Report, variant: Variant, case: Case) -> None:
    """Add one run; one in which the client itself was held up is repeated, and counted."""
    for left in reversed(range(REPEATS)):
        home = base / f"{variant.name}-{case.name}-{time.time():.0f}"
        try:
            outcome = run(home, variant.make, case.act, case.watch_s, partial(prepare, case))
        except AssertionError as error:
            report.failed(variant, case, str(error))
            print(f"{variant.name} {case.name}: {error}", file=sys.stderr, flush=True)
            return
        if outcome.service.held_up_s <= HELD_UP_S or not left:
            report.add(variant, case, outcome, repeated=REPEATS - 1 - left)
            return


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.failover", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", action="append", choices=[case.name for case in CASES], metavar="CASE")
    parser.add_argument("--subject", action="append", choices=[variant.name for variant in SUBJECTS])
    parser.add_argument("--json", type=Path, default=Path("var/failover.json"))
    parser.add_argument(
        "--write-docs", type=Path, nargs="?", const=Path("docs/failover.md"), help="needs only the JSON"
    )
    parser.add_argument("--keep", type=Path, help="keep every run's logs below this directory")
    return parser.parse_args()


def main() -> int:
    options = parse()
    report = Report(options.json)
    if options.write_docs:
        document.write(report.runs, options.write_docs)
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        base = options.keep or Path(directory)
        for variant, case in chosen(options):
            report.forget(variant, case)
            for _ in range(options.runs):
                measure(base, report, variant, case)
            print(report.line(variant, case), flush=True)
    return 1 if report.broken(chosen(options)) else 0


if __name__ == "__main__":
    sys.exit(main())
