"""From samples to a verdict, as values, for a person and as JSON. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from tests.soak.measures import ALLOWED, DISK_PER_MESSAGE_BYTES
from tests.soak.trend import Trend, steps, trend

NOT_OURS = "etcd"
"""Its figures are told, and judged by nobody here."""
WARM_SHARE = 0.25
"""So much of the time is left out at the beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look at one process, or at one directory (``disk``)."""

    at_s: float
    who: str
    values: dict[str, float]


@dataclass(slots=True, kw_only=True)
class Report:
    """What came of a soak."""

    minutes: float
    accepted: int = 0
    faults: list[str] = field(default_factory=list)
    """Done, in order."""
    problems: list[str] = field(default_factory=list)
    """Of the drill that ran meanwhile; empty: every invariant held."""
    trends: dict[str, dict[str, Trend]] = field(default_factory=dict)
    """Process to measure."""
    disk: dict[str, Trend] = field(default_factory=dict)
    restarted: list[str] = field(default_factory=list)

    @property
    def grows(self) -> list[str]:
        """What grew beyond what is allowed."""
        every = [(who, what, one) for who, each in self.trends.items() for what, one in each.items()]
        every += [(who, "disk", one) for who, one in self.disk.items()]
        return [f"{who} {what}" for who, what, one in every if not one.flat and not who.startswith(NOT_OURS)]

    @property
    def holds(self) -> bool:
        return not self.grows and not self.problems and not self.restarted and bool(self.trends)

    def plain(self) -> dict[str, object]:
        return {"holds": self.holds, "grows": self.grows, **asdict(self)}


def judge(report: Report, samples: Sequence[Sample]) -> None:
    """Put the trends of all that was sampled into the report."""
    rows: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for one in samples:
        for what, value in one.values.items():
            rows[one.who][what].append((one.at_s, value))
    begin_s = report.minutes * 60 * WARM_SHARE
    messages_per_hour = report.accepted / max(report.minutes, 1e-9) * 60
    for who, each in rows.items():
        for what, row in each.items():
            _one(report, who, what, steps(row, begin_s), messages_per_hour)


def _one(report: Report, who: str, what: str, row: Sequence[tuple[float, float]], messages_per_hour: float) -> None:
    if what == "disk_bytes":
        found = trend(row, per_hour=messages_per_hour * DISK_PER_MESSAGE_BYTES, at_once=2 << 20)
        if found is not None:
            report.disk[who] = found
        return
    allowed = ALLOWED[what]
    found = trend(row, per_hour=allowed.per_hour, at_once=allowed.at_once)
    if found is not None:
        report.trends.setdefault(who, {})[what] = found


def as_text(report: Report) -> str:
    """Give the report for a person."""
    lines = [
        f"{report.minutes:.1f} min, {report.accepted} messages accepted, faults: {', '.join(report.faults) or 'none'}"
    ]
    for who in sorted(report.trends):
        lines += [f"{who:26} {what:12} {_told(one)}" for what, one in sorted(report.trends[who].items())]
    lines += [f"{who:26} {'disk':12} {_told(one)}" for who, one in sorted(report.disk.items())]
    lines += [f"GROWS {one}" for one in report.grows] + [f"RESTARTED {one}" for one in report.restarted]
    lines += [f"PROBLEM {one}" for one in report.problems]
    return "\n".join([*lines, "flat, and every invariant held" if report.holds else "NOT FLAT, or an invariant broke"])


def _told(one: Trend) -> str:
    return (f"{one.first:>13,.0f} → {one.last:>13,.0f}  {one.per_hour:>+12,.0f}/h  noise {one.noise:>9,.0f}  "
            f"grew {one.grew:>+11,.0f} of {one.allowed:>10,.0f} allowed")  # fmt: skip
