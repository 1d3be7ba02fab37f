"""The tables of docs/failover.md, out of the kept runs: everything between two marks is written anew."""

import statistics
from collections.abc import Callable
from pathlib import Path

from tests.failover.cases import CASES, Case
from tests.failover.subjects import SUBJECTS, Variant

BEGIN, END = "<!-- figures: written by python -m tests.failover --write-docs -->", "<!-- end of figures -->"
ROOT = Path(__file__).parents[2]
Runs = dict[str, dict[str, list[dict]]]
Cell = Callable[[Runs, Variant, Case], str]
SCRIPT = "-script"


def goal_s(case: Case, variant: Variant) -> float | None:
    """Give the longest gap asked of the relay in a case."""
    if case.goal_s is None or variant.kind != "relay":
        return None
    if case.early and not variant.early:
        return variant.ttl_s + 1.0 + case.election_s
    return case.goal_s + (variant.ttl_s if case.after_lease else 0.0)


def measured(runs: Runs, variant: str, case: Case) -> list[dict]:
    return [run for run in runs.get(variant, {}).get(case.name, []) if "error" not in run]


def gap(runs: list[dict]) -> str:
    """Median and worst gap, or that the service did not come back."""
    gaps = [run["service"]["gap_s"] for run in runs if run["service"]["recovered"]]
    lost = [run["service"]["gap_s"] for run in runs if not run["service"]["recovered"]]
    parts = []
    if lost:
        parts.append(f"not within {min(lost):.0f} s" + (f" in {len(lost)} of {len(runs)}, else" if gaps else ""))
    if gaps:
        parts.append(f"{statistics.median(gaps):.2f} ({max(gaps):.2f})")
    return " ".join(parts)


def missed(runs: list[dict], goal: float | None) -> bool:
    return goal is not None and any(r["service"]["gap_s"] > goal or not r["service"]["recovered"] for r in runs)


def _gap_cell(runs: Runs, variant: Variant, case: Case) -> str:
    own = measured(runs, variant.name, case)
    if not own:
        return "–" if variant.takes(case) else ""
    text = gap(own) + (" **missed**" if missed(own, goal_s(case, variant)) else "")
    most = max(len(found) for cases in runs.values() for found in cases.values())
    text += f"; {len(own)} runs" if len(own) < most else ""
    watched = measured(runs, variant.name + SCRIPT, case)
    return text + (f"; with script {gap(watched)}" if watched else "")


def _overlap_cell(runs: Runs, variant: Variant, case: Case) -> str:
    own = measured(runs, variant.name, case) + measured(runs, variant.name + SCRIPT, case)
    if not own:
        return "–" if variant.takes(case) else ""
    worst = max(run["binding"]["overlap_s"] for run in own)
    at_most = max(run["binding"]["overlap_most_s"] for run in own)
    return f"{worst:.2f}" if worst else ("0" if at_most < 0.001 else f"0 (≤ {at_most:.3f})")


def _nowhere_cell(runs: Runs, variant: Variant, case: Case) -> str:
    own = [run["binding"]["unbound_s"] for run in measured(runs, variant.name, case)]
    if not own:
        return "–" if variant.takes(case) else ""
    return f"{statistics.median(own):.2f} ({max(own):.2f})"


def _client_cell(runs: Runs, variant: Variant, case: Case) -> str:
    own = measured(runs, variant.name, case)
    if not own:
        return "–" if variant.takes(case) else ""
    counts: dict[str, int] = {}
    for run in own:
        for outcome, count in run["service"]["failed"].items():
            counts[outcome] = counts.get(outcome, 0) + count
    failed = ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
    wait = max(run["service"]["longest_wait_s"] for run in own)
    return f"{failed}; {wait:.1f} s"


def _goal(case: Case) -> str:
    if case.goal_s is None:
        return ""
    if case.after_lease:
        return f"ttl + {case.goal_s:g}"
    late = f", else ttl + {1 + case.election_s:g}" if case.early else ""
    return f"{case.goal_s:g}{late}"


def table(runs: Runs, cell: Cell, *, goals: bool) -> str:
    """Give one table: a row for each case, a column for each way of moving the address."""
    columns = [variant for variant in SUBJECTS if not variant.name.endswith(SCRIPT) and runs.get(variant.name)]
    head = ["Case", *(["Goal"] if goals else []), *(variant.title for variant in columns)]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for case in CASES:
        row = [case.title, *([_goal(case)] if goals else []), *(cell(runs, variant, case) for variant in columns)]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def _about(every: list[dict], most_runs: int) -> str:
    """Give the sentence on when, how often and how finely."""
    dates = sorted(run["at"][:10] for run in every)
    loads = [run["load"] for run in every]
    looks = max((run["longest_look_s"] for run in every if "error" not in run), default=0.0)
    repeated = sum(run.get("repeated", 0) for run in every)
    return (
        f"Measured {dates[0]} to {dates[-1]}, {most_runs} runs a case; load of the machine {min(loads):.1f} to"
        f" {max(loads):.1f}; two looks at a kernel at most {looks * 1000:.0f} ms apart. {repeated} runs were repeated,"
        " as the client itself was held up for more than 0.1 s."
    )


def figures(runs: Runs) -> str:
    """Give everything between the marks."""
    named = [(f"{variant} {case}", found) for variant, cases in runs.items() for case, found in cases.items()]
    every = [run for _, found in named for run in found]
    errors = [f"- {name}: {run['error'].splitlines()[0]}" for name, found in named for run in found if "error" in run]
    parts = [
        _about(every, max((len(found) for _, found in named), default=0)),
        "Gap in seconds, median (worst):",
        table(runs, _gap_cell, goals=True),
        "Longest time two living kernels had the address, in seconds, worst of all runs:",
        table(runs, _overlap_cell, goals=False),
        "Longest time no living kernel had the address, in seconds, median (worst):",
        table(runs, _nowhere_cell, goals=False),
        "Attempts without a 220 in all runs, by how they ended; and the longest a served client waited:",
        table(runs, _client_cell, goals=False),
        *(["Runs that could not be measured:", "\n".join(errors)] if errors else []),
    ]
    return "\n\n".join(parts)


def write(runs: Runs, target: Path) -> None:
    """Put the figures between the marks of the document."""
    text = target.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    target.write_text(f"{before}{BEGIN}\n\n{figures(runs)}\n\n{END}{after}")
