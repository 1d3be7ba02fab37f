"""The page ``relayctl top`` draws, made from two looks at the node. Pure.

What does not fit a narrow terminal is left out by column, never wrapped: a line stays one thing.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from rich.console import Group
from rich.table import Table
from rich.text import Text

from node.cli.cluster import troubles_of
from node.cli.common import clean, last_reply
from node.settings.when import show_ms, show_span

ROWS_MAX: Final = 20
"""More accounts than fit a screen: the busiest are shown."""
NARROW: Final = 72
"""Below so many columns the less important ones are left out."""
ALMOST: Final = 0.8
RATES: Final = {
    "accepted": "relay_messages_accepted",
    "delivered": "relay_recipients_delivered",
    "deferred": "relay_recipients_deferred",
    "bounced": "relay_recipients_bounced",
    "refused at the door": "relay_intake_refused",
}
Look = dict[str, Any]


class Row(NamedTuple):
    """One line of a table."""

    cells: tuple[object, ...]
    style: str = ""


def page(before: Look, now: Look, width: int) -> Group:
    """Draw what ``now`` shows and how it moved since ``before``, for a terminal of that many columns."""
    seen, narrow = now["status"], width < NARROW
    parts = [_head(seen), *_cluster(seen["cluster"], narrow=narrow), _rates(before, now), _queue(seen)]
    parts += [_limits(now["budget"], narrow=narrow), _resting(seen["ways"], narrow=narrow)]
    parts += [Text(f"trouble: {clean(trouble)}", style="red") for trouble in troubles_of(seen)[:ROWS_MAX]]
    return Group(*(part for part in parts if part is not None))


def _head(seen: Look) -> Text:
    ready = seen["readiness"]["ready"]
    head = Text(clean(seen["node"]), style="bold")
    head.append(" ready" if ready else " not ready", "green" if ready else "red")
    head.append(f"  {show_ms(time.time_ns() // 1_000_000)[:19]} UTC", "dim")
    return head


def _cluster(cluster: Look | None, *, narrow: bool) -> list[Text | Table | None]:
    if cluster is None:
        return []
    line = Text(clean(f"cluster {cluster['name']}: {cluster['phase']}, leader {cluster['leader'] or 'nobody'}"))
    holders = [f"{name} at {holder or 'nobody'}" for name, holder in sorted(cluster["holders"].items())]
    held = [Text(clean(f"addresses: {', '.join(holders)}"))] if holders else []
    return [line, *held, _nodes(cluster["nodes"], narrow=narrow)]


def _nodes(nodes: Sequence[Look], *, narrow: bool) -> Table | None:
    rows = [Row(cells=_node(node), style=_node_style(node)) for node in nodes[:ROWS_MAX]]
    return _table(("node", "state", "unprotected", "copies at", "margin", "site"), rows, keep=3 if narrow else 6)


def _node(node: Look) -> tuple[object, ...]:
    state = ("ready" if node["ready"] else "not ready") if node["answered"] else "silent"
    if not node["member"]:
        state += ", no session"
    if not node["answered"]:
        return (node["node"], state, "?", "?", "?", node["site"])
    copies, margin = node["shadow"] or "nowhere", f"{node['margin_ms'] / 1000:.1f} s"
    return (node["node"], state, node["unprotected"], copies, margin, node["site"])


def _node_style(node: Look) -> str:
    if not node["answered"] or not node["member"]:
        return "red"
    return "" if node["ready"] else "yellow"


def _rates(before: Look, now: Look) -> Text:
    seconds = max(now["at_s"] - before["at_s"], 0.001)
    shown = []
    for label, name in RATES.items():
        grown = now["counters"].get(name, 0.0) - before["counters"].get(name, 0.0)
        shown.append(f"{label} {max(grown, 0.0) / seconds:.1f}/s")  # a restarted node counts from 0 again
    return Text("  ".join(shown))


def _queue(seen: Look) -> Text:
    states = "  ".join(f"{state} {number}" for state, number in seen["by_state"].items() if number)
    oldest = "  ".join(
        f"oldest {priority} {show_span(time.time() - at_ms / 1000)}"
        for priority, at_ms in seen["oldest_received_ms"].items()
    )
    return Text(clean(f"queue: {states or 'empty'}  {oldest}").rstrip())


def _limits(uses: Sequence[Look], *, narrow: bool) -> Table | None:
    def share(use: Look) -> float:
        return float(use["used"] / max(use["limit"], 1))

    rows = [
        Row(
            cells=(use["scope"], f"{use['used']}/{use['limit']}", use["kind"], show_ms(use["retry_ms"])[11:19]),
            style="red" if share(use) >= 1 else "yellow" if share(use) >= ALMOST else "",
        )
        for use in sorted(uses, key=share, reverse=True)[:ROWS_MAX]
    ]
    return _table(("limit", "used", "kind", "next free (UTC)"), rows, keep=3 if narrow else 4)


def _resting(ways: Iterable[Look], *, narrow: bool) -> Table | None:
    rows = [
        Row(cells=(way["account"], way["state"], way["reason"], show_ms(way["until_ms"])[:19], *last_reply(way)))
        for way in [way for way in ways if way["state"] != "healthy"][:ROWS_MAX]
    ]
    return _table(
        ("resting", "state", "reason", "until (UTC)", "last reply", "at (UTC)"), rows, keep=3 if narrow else 6
    )


def _table(titles: Sequence[str], rows: Sequence[Row], *, keep: int) -> Table | None:
    """Make a table of the first columns; None if there is nothing in it."""
    if not rows:
        return None
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles[:keep]:
        table.add_column(title, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*(Text(clean(str(cell)), style=row.style) for cell in row.cells[:keep]))
    return table
