"""``python -m tests.soak --minutes 120``: three nodes, etcd and mail for hours; does anything grow.

Ends with 1 when memory, descriptors, threads, tasks or disks grow beyond what is allowed, or an invariant broke.
"""

import argparse
import json
import sys
from pathlib import Path

from node.errors import RelayError
from tests.soak.report import as_text
from tests.soak.world import Options, soak


def main() -> int:
    args = _arguments()
    options = Options(minutes=args.minutes, home=args.home, rate=args.rate, timing=args.timing, faults=args.faults)
    try:
        report = soak(options, lambda text: print(f"soak: {text}", file=sys.stderr, flush=True))
    except RelayError as error:
        print(f"soak: {error}", file=sys.stderr)
        return 2
    print(as_text(report))
    if args.json is not None:
        args.json.write_text(json.dumps(report.plain(), indent=1))
    return 0 if report.holds else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--rate", type=float, default=3.0, help="messages a second")
    parser.add_argument("--timing", choices=("steady", "fast"), default="fast")
    parser.add_argument("--no-faults", dest="faults", action="store_false", help="mail and nothing else")
    parser.add_argument("--home", type=Path, default=Path("var/soak"))
    parser.add_argument("--json", type=Path, help="write all figures here")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
