"""The report of a drill: one HTML file that needs nothing else, with plots drawn as SVG. Pure.

Everything shown comes out of the outcome; text is escaped, since it may quote mail and replies.
"""

from datetime import UTC, datetime
from html import escape
from typing import Final

from node.rehearsal.drill.faults import ALWAYS
from node.rehearsal.drill.outcome import Outcome, Step

WIDTH, LEFT, RIGHT, HIGH, GAP = 1080, 90, 20, 90, 26
COLOURS: Final = ("#3b6ea5", "#c98a2b", "#5b8c5a", "#8a5a8c", "#a55b3b")
NOBODY: Final = "#d9d9d9"
STYLE: Final = """
body{font:15px/1.45 system-ui,sans-serif;color:#1d2228;background:#fff;margin:2rem auto;max-width:1120px;padding:0 20px}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}
p.verdict{font-size:1.15rem;padding:.5rem .9rem;border-radius:6px;display:inline-block}
.good{background:#e3f1e3;color:#1f5c23}.bad{background:#f9e0dd;color:#8a1f14}
table{border-collapse:collapse;width:100%;font-size:13.5px}
th,td{text-align:left;padding:.35rem .55rem;border-bottom:1px solid #e3e5e8;vertical-align:top}
td.w{min-width:15rem}td.n,th.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
svg text{font:12px system-ui,sans-serif;fill:#444}
.small{color:#5d646c;font-size:13px}pre{white-space:pre-wrap;font-size:12.5px;background:#f6f7f8;padding:.6rem}
"""


def html(outcome: Outcome) -> str:
    """Give the whole document."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Drill</title>",
        f"<style>{STYLE}</style>",
        _head(outcome),
        "<h2>Over time</h2>",
        _plots(outcome),
        "<h2>Each fault</h2>",
        _table(outcome),
        *_skipped(outcome),
        *_verdict(outcome),
        "</html>",
    ]
    return "\n".join(parts)


def _head(outcome: Outcome) -> str:
    good = "good" if outcome.holds else "bad"
    verdict = "every invariant held" if outcome.holds else f"stopped: {outcome.stopped or 'see below'}"
    began = datetime.fromtimestamp(outcome.began_ms / 1000, UTC).isoformat(timespec="seconds")
    took_s = (outcome.ended_ms - outcome.began_ms) / 1000
    return (
        f"<h1>Drill of {escape(outcome.cluster)}</h1>"
        f"<p class=small>{began}, {took_s:.0f} s; {escape(outcome.machine)}</p>"
        f'<p class="verdict {good}">{escape(verdict)}</p>'
        f"<p class=small>Must hold at all times: {escape(ALWAYS)}. Decided from what clients were told and what the"
        " other side received, not from the relay's own counters.</p>"
    )


# -- plots


class _Scale:
    def __init__(self, outcome: Outcome) -> None:
        self._from, self._span = outcome.began_ms, max(1.0, outcome.ended_ms - outcome.began_ms)

    def x(self, at_ms: float) -> float:
        share = min(1.0, max(0.0, (at_ms - self._from) / self._span))
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)


def _plots(outcome: Outcome) -> str:
    scale = _Scale(outcome)
    top = 20
    lanes = [_shades(outcome, scale, top + 3 * (HIGH + GAP))]
    for title, values, colour in (
        ("accepted/s", outcome.accepted_per_s, COLOURS[0]),
        ("delivered/s", outcome.delivered_per_s, COLOURS[2]),
    ):
        lanes.append(_rate(outcome, scale, top, title, values, colour))
        top += HIGH + GAP
    lanes.append(_holder(outcome, scale, top))
    bottom = top + HIGH + GAP
    lanes.append(_axis(outcome, scale, bottom - GAP))
    return (
        f'<svg viewBox="0 0 {WIDTH} {bottom + 10}" width="100%" role="img"'
        f' aria-label="acceptance, delivery and holder over time">{"".join(lanes)}</svg>'
    )


def _shades(outcome: Outcome, scale: _Scale, bottom: float) -> str:
    found = []
    for number, step in enumerate(outcome.steps, 1):
        if not step.began_ms:
            continue
        left, right = scale.x(step.began_ms), scale.x(step.ended_ms)
        whole = scale.x(step.whole_ms or outcome.ended_ms)
        found.append(
            f"<g><title>{escape(step.kind)} {escape(step.node)}</title>"
            f'<rect x="{left}" y="16" width="{max(1.0, whole - left)}" height="{bottom - 36}" fill="#f8ece9"/>'
            f'<rect x="{left}" y="16" width="{max(1.0, right - left)}" height="{bottom - 36}" fill="#f0cfc8"/>'
            f'<text x="{left + 2}" y="12">{number}</text></g>'
        )
    return "".join(found)


def _rate(outcome: Outcome, scale: _Scale, top: float, title: str, values: list[int], colour: str) -> str:
    most = max([*values, 1])
    points = []
    for second, value in enumerate(values):
        height = top + HIGH - value / most * (HIGH - 8)
        edges = (outcome.began_ms + edge * 1000 for edge in (second, second + 1))
        points += [f"{scale.x(edge)},{round(height, 1)}" for edge in edges]
    line = " ".join(points)
    base = f"{WIDTH - RIGHT},{top + HIGH} {LEFT},{top + HIGH}"
    return (
        f'<text x="{LEFT - 8}" y="{top + 20}" text-anchor="end">{escape(title)}</text>'
        f'<text x="{LEFT - 8}" y="{top + 36}" text-anchor="end">to {most}</text>'
        f'<polygon points="{line} {base}" fill="{colour}" opacity=".25"/>'
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.3"/>'
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{top + HIGH}" y2="{top + HIGH}" stroke="#bbb"/>'
    )


def _holder(outcome: Outcome, scale: _Scale, top: float) -> str:
    names = sorted({span.holder for span in outcome.holders if span.holder})
    row = HIGH / max(1, len(names) + 1)
    found = []
    for number, name in enumerate([*names, ""]):
        y = top + number * row
        found.append(f'<text x="{LEFT - 8}" y="{y + row * 0.7}" text-anchor="end">{escape(name or "nobody")}</text>')
        for span in outcome.holders:
            if span.holder == name:
                left, right = scale.x(span.from_ms), scale.x(span.to_ms)
                colour = COLOURS[number % len(COLOURS)] if name else "#8a1f14"
                found.append(
                    f'<rect x="{left}" y="{y + 2}" width="{max(1.0, right - left)}" height="{row - 4:.1f}"'
                    f' fill="{colour}"/>'
                )
    return "".join(found)


def _axis(outcome: Outcome, scale: _Scale, top: float) -> str:
    span_s = (outcome.ended_ms - outcome.began_ms) / 1000
    step_s = next((each for each in (5, 10, 30, 60, 120, 300, 600, 1800) if span_s / each <= 14), 3600)  # noqa: PLR2004
    ticks = []
    for number in range(int(span_s // step_s) + 1):
        x = scale.x(outcome.began_ms + number * step_s * 1000)
        ticks.append(f'<text x="{x}" y="{top + 18}" text-anchor="middle">{number * step_s} s</text>')
    return "".join(ticks)


# -- tables


def _table(outcome: Outcome) -> str:
    head = (
        "<tr><th>#<th>Fault<th>Must hold<th class=n>No 250 for<th class=n>Nothing delivered for"
        "<th class=n>Address elsewhere<th class=n>Full protection<th class=n>Lost<th class=n>Duplicated"
        "<th class=n>Overshoot</tr>"
    )
    return f"<table>{head}{''.join(_row(number, step) for number, step in enumerate(outcome.steps, 1))}</table>"


def _row(number: int, step: Step) -> str:
    problems = "".join(f'<br><b class="bad">{escape(problem)}</b>' for problem in step.problems)
    figures = "".join(
        f"<td class=n>{each}"
        for each in (
            _seconds(step.acceptance_gap_s),
            _seconds(step.delivery_gap_s),
            _seconds(step.takeover_s),
            _seconds(step.protected_s),
            step.lost,
            step.duplicated,
            step.overshoot,
        )
    )
    return (
        f"<tr><td>{number}<td class=w><b>{escape(step.kind)}</b>"
        f"<br><span class=small>{escape(step.does)}</span>{problems}"
        f"<td class=small>{escape(step.holds)}{figures}</tr>"
    )


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} s"


def _skipped(outcome: Outcome) -> list[str]:
    if not outcome.skipped:
        return []
    rows = "".join(f"<tr><td>{escape(one.kind)}<td>{escape(one.why)}</tr>" for one in outcome.skipped)
    return ["<h2>Skipped here</h2>", f"<table><tr><th>Fault<th>Why</tr>{rows}</table>"]


def _verdict(outcome: Outcome) -> list[str]:
    found = outcome.verdict
    if found is None:
        return []
    explained = sum(bool(one.why) for one in found.duplicates)
    worst = "".join(
        f"<tr><td>{escape(scope)}<td>{escape(measure)}<td class=n>{most}</tr>"
        for scope, each in sorted(found.worst.items())
        for measure, most in each.items()
    )
    violations = "".join(
        f"<pre>{escape(one.invariant)} {escape(one.what)}: {escape(one.subject)} {escape(one.text)}\n"
        f"{escape(chr(10).join(one.evidence))}</pre>"
        for one in found.violations[:50]
    )
    return [
        "<h2>The whole</h2>",
        f"<p>{found.accepted_messages} messages accepted for {found.accepted} recipients; delivered {found.delivered},",
        f"lost {found.lost}; delivered again {len(found.duplicates)}, of these {explained} after an unknown outcome;",
        f"limits exceeded by {found.overshoot}.</p>",
        violations,
        "<h2>What the other side could have counted at most</h2>",
        f"<table><tr><th>Scope<th>Measure<th class=n>At most</tr>{worst}</table>",
    ]
