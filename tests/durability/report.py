"""What a run showed: a line for each round, a summary, JSON, and the table of docs/durability.md."""

import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.durability import judge
from tests.durability.judge import Done, Lost, Repetition
from tests.durability.plan import MEANING, Fault
from tests.durability.rounds import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Everything that is judged, in figures."""

    seed: int
    rounds: int
    took_s: float
    accepted: dict[str, int]
    delivered: int
    kept: int
    """Messages that still waited at the end."""
    lost: list[Lost]
    repeated: list[Repetition]
    violations: int
    sessions_peak: int
    worst_window: int
    problems: list[str]
    outcomes: list[Outcome]
    done: list[Done]
    """Every step with its time, to be laid beside the logs."""

    @property
    def forbidden(self) -> list[Lost]:
        return [one for one in self.lost if not one.allowed]

    @property
    def unexplained(self) -> list[Repetition]:
        return [one for one in self.repeated if one.why is judge.Why.UNEXPLAINED]

    @property
    def good(self) -> bool:
        return not (self.kept or self.forbidden or self.unexplained or self.violations or self.problems)


def line(outcome: Outcome) -> str:
    """Give a round as one line."""
    taken = outcome.taken_over_s
    resumed = ", ".join(f"{node} {_seconds(taken[node])}, {_seconds(s)}" for node, s in outcome.resumed_s.items())
    began = datetime.fromtimestamp(outcome.began_ms / 1000, UTC)
    parts = [f"{began:%H:%M:%S} {outcome.number:4} {outcome.title:48}", f"whole {outcome.whole_s:5.1f} s"]
    parts += [f"({outcome.after_s:.1f} s after the last step)", f"taken over, sent: {resumed}" if resumed else ""]
    return " ".join([*parts, *outcome.notes, *(f"PROBLEM {text[:600]}" for text in outcome.problems)])


def text(summary: Summary) -> str:
    """Give the summary for a person."""
    reasons = ", ".join(f"{count} {why}" for why, count in judge.reasons(summary.repeated).items())
    allowed = len(summary.lost) - len(summary.forbidden)
    lines = [
        f"{summary.rounds} rounds of seed {summary.seed} in {summary.took_s:.0f} s",
        f"accepted    {summary.accepted}, delivered {summary.delivered}, waiting {summary.kept}",
        f"lost        {len(summary.forbidden)}; besides {allowed} that were accepted unprotected",
        f"repeated    {len(summary.repeated)}: {reasons}",
        f"violations  {summary.violations}; at most {summary.sessions_peak} sessions, {summary.worst_window} a minute",
        f"problems    {len(summary.problems)}",
        *(f"  {text[:1500]}" for text in summary.problems),
        *(f"  lost {one}" for one in summary.forbidden[:50]),
        *(f"  unexplained {one}" for one in summary.unexplained[:50]),
        "",
        table(summary.outcomes),
    ]  # fmt: skip
    return "\n".join(lines)


def table(outcomes: Sequence[Outcome]) -> str:
    """Give the figures of single faults, median (worst), as the document has them."""
    lines = [
        "| Fault | Is | Rounds | Mail taken over | First of it sent | Full protection |",
        "|---|---|---|---|---|---|",
    ]
    for fault in Fault:
        alone = [one for one in outcomes if one.title.rpartition(" ")[0] == fault and " and " not in one.title]
        if alone:
            taken = (took_s for one in alone for took_s in one.taken_over_s.values())
            sent = (took_s for one in alone for took_s in one.resumed_s.values())
            whole = _spread(one.whole_s for one in alone)
            lines.append(
                f"| {fault} | {MEANING[fault]} | {len(alone)} | {_spread(taken)} | {_spread(sent)} | {whole} |"
            )
    two = [one for one in outcomes if " and " in one.title]
    if two:
        whole = _spread(one.whole_s for one in two)
        lines.append(f"| two of them | on two nodes, within two seconds | {len(two)} | | | {whole} |")
    return "\n".join(lines)


def write(summary: Summary, file: Path) -> None:
    """Keep everything as JSON."""
    machine = {"cores": os.cpu_count(), "kernel": platform.release()}
    plain = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine, **asdict(summary)}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(plain | {"reasons": judge.reasons(summary.repeated)}, indent=1) + "\n")


def _spread(values: Iterable[float | None]) -> str:
    """Median (worst) of those there are, and how many they are if not all."""
    every = list(values)
    found = [value for value in every if value is not None]
    some = f", {len(found)} times" if 0 < len(found) < len(every) else ""
    return f"{statistics.median(found):.1f} s ({max(found):.1f}){some}" if found else "–"


def _seconds(took_s: float | None) -> str:
    return "–" if took_s is None else f"{took_s:.1f} s"
