"""The figures kept as JSON, a line on the terminal for each case, and what docs/failover.md is written from."""

import fcntl
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tests.failover.cases import Case
from tests.failover.figures import plain
from tests.failover.rig import Outcome
from tests.failover.subjects import Variant


class Report:
    """All runs by subject and case; written after each, so that two measuring processes may share the file."""

    def __init__(self, file: Path):
        self.file = file
        self.runs: dict[str, dict[str, list[dict]]] = {}
        self._read()

    def _read(self) -> None:
        if self.file.exists():
            self.runs = json.loads(self.file.read_text())["runs"]

    @contextmanager
    def _changed(self) -> Iterator[None]:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._read()
            yield
            machine = {"cores": os.cpu_count(), "kernel": platform.release()}
            fresh = self.file.with_suffix(".new")
            fresh.write_text(json.dumps({"machine": machine, "runs": self.runs}, indent=1) + "\n")
            fresh.replace(self.file)

    def forget(self, variant: Variant, case: Case) -> None:
        """Drop the earlier runs of a case that is measured anew."""
        with self._changed():
            self.runs.setdefault(variant.name, {})[case.name] = []

    def add(self, variant: Variant, case: Case, outcome: Outcome, *, repeated: int = 0) -> None:
        """Keep a run; ``repeated``: how many before it did not count, as the client itself was held up."""
        self._add(variant, case, {**plain(outcome), "repeated": repeated})

    def failed(self, variant: Variant, case: Case, why: str) -> None:
        """A run that could not be measured is told, not left out."""
        self._add(variant, case, {"error": why[:500]})

    def _add(self, variant: Variant, case: Case, run: dict) -> None:
        stamped = {**run, "at": datetime.now(UTC).isoformat(timespec="seconds"), "load": round(os.getloadavg()[0], 1)}
        with self._changed():
            self.runs[variant.name][case.name].append(stamped)

    def line(self, variant: Variant, case: Case) -> str:
        runs = [run for run in self.runs[variant.name][case.name] if "error" not in run]
        if not runs:
            return f"{variant.name:24} {case.name:22} no run"
        gaps = " ".join(_gap(run) for run in runs)
        return (
            f"{variant.name:24} {case.name:22} gap {gaps:34} overlap {_worst(runs, 'overlap_s'):6.3f}"
            f" (≤ {_worst(runs, 'overlap_most_s'):6.3f}) failed {_failed(runs) or '-'}"
            f" moved {' '.join(_moved(run) for run in runs)} holders {_holders(runs)}"
        )

    def broken(self, chosen: list[tuple[Variant, Case]]) -> bool:
        """Say whether any run could not be measured."""
        return any("error" in run for variant, case in chosen for run in self.runs[variant.name][case.name])


def _gap(run: dict) -> str:
    return f"{'' if run['service']['recovered'] else '>'}{run['service']['gap_s']:.2f}"


def _moved(run: dict) -> str:
    moved = run["binding"]["moved_s"]
    return "-" if moved is None else f"{moved:.2f}"


def _worst(runs: list[dict], name: str) -> float:
    return max(run["binding"][name] for run in runs)


def _failed(runs: list[dict]) -> str:
    total: dict[str, int] = {}
    for run in runs:
        for outcome, count in run["service"]["failed"].items():
            total[outcome] = total.get(outcome, 0) + count
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(total.items()))


def _holders(runs: list[dict]) -> str:
    return " ".join(sorted({"→".join("abc"[host] for host in run["binding"]["holders"]) for run in runs}))
