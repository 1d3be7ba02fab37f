"""``python -m tests.fuzz --minutes 20``: every reader of foreign octets, one after the other, from a seed.

Ends with 1 when a law was broken; each input that did lies in ``--output`` afterwards, made small, and belongs into
``tests/fuzz/found`` with the fix.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

from tests.fuzz.catalogue import TARGETS
from tests.fuzz.engine import Outcome, fuzz
from tests.fuzz.target import Target


def main() -> int:
    args = _arguments()
    chosen = [TARGETS[name] for name in args.target or TARGETS]
    each_s, outcomes = args.minutes * 60 / len(chosen), []
    for target in chosen:
        outcome = _for(target, args.seed, each_s)
        outcomes.append(outcome)
        print(told(outcome), flush=True)
        _write(args.output, outcome)
    if args.json is not None:
        args.json.write_text(json.dumps(report(args.seed, outcomes), indent=1))
    return int(any(one.findings for one in outcomes))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="for all targets together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="only this one; may be repeated")
    parser.add_argument("--output", type=Path, default=Path("var/fuzz"), help="where inputs that broke a law go")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


def _for(target: Target, seed: int, seconds: float) -> Outcome:
    until_s = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        return fuzz(target, Path(place), seed=seed, go_on=lambda _: time.monotonic() < until_s)


def told(one: Outcome) -> str:
    """One line for a person, and one for each finding."""
    rate = one.executions / one.seconds if one.seconds else 0.0
    lines = [f"{one.name:14} {one.executions:>9} inputs {rate:>7.0f}/s {one.steps:>6} steps {one.kept:>5} kept"]
    lines += [f"    BROKEN {found.kind} in {found.place}: {found.text} {found.data[:80]!r}" for found in one.findings]
    return "\n".join(lines)


def _write(place: Path, outcome: Outcome) -> None:
    for found in outcome.findings:
        (place / outcome.name).mkdir(parents=True, exist_ok=True)
        (place / outcome.name / f"{sha256(found.data).hexdigest()[:16]}.bin").write_bytes(found.data)


def report(seed: int, outcomes: Sequence[Outcome]) -> dict[str, object]:
    """The figures as plain values."""
    plain = [asdict(one) for one in outcomes]
    for each in plain:
        for found in each["findings"]:
            found["data"] = found["data"].hex()
    return {"seed": seed, "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
            "inputs": sum(one.executions for one in outcomes), "broken": sum(len(one.findings) for one in outcomes),
            "targets": plain}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
