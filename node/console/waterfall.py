"""A message's journey as bars in time, one row for each stretch, each with the node it passed at. Pure.

Places are in thousandths of the whole, as whole numbers: they become attributes of an SVG, which takes no inline style.
"""

from typing import Final

import msgspec

from node.admin.everywhere import Found
from node.spool.contract import JourneyLine

WHOLE: Final = 1_000
LEAST: Final = 4
"""A moment is still a bar to be seen."""
ROWS_MAX: Final = 200
"""The newest steps of a long journey; the list below the picture has them all."""
ENDS: Final = {
    "accepted": "waits", "claimed": "attempt", "deferred": "waits", "postponed": "waits", "held": "held",
    "released": "waits", "unknown": "unknown", "resent": "waits", "recovered": "waits", "adopted": "waits",
    "replayed": "waits",
}  # fmt: skip
"""What a message does after an event; after any other it is done."""


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One stretch."""

    kind: str
    """``waits``, ``attempt``, ``held``, ``unknown``, or ``done`` for a moment."""
    event: str
    """What it began with."""
    node: str
    x: int
    width: int
    began_ms: int
    lasted_ms: int
    detail: dict[str, str | int]


class Waterfall(msgspec.Struct, frozen=True, kw_only=True):
    """The whole picture."""

    bars: tuple[Bar, ...]
    nodes: tuple[str, ...]
    began_ms: int
    lasted_ms: int
    left_out: int
    """Earlier steps that are not drawn."""


def waterfall(found: Found, now_ms: int) -> Waterfall:
    """Draw the steps of one message; ``now_ms``: it still waits, so its last stretch reaches to now; 0: it is done."""
    lines = sorted(found.lines, key=lambda line: line.at_ms)
    nodes = _nodes(lines, found.node)
    drawn = lines[-ROWS_MAX:]
    began = drawn[0].at_ms if drawn else found.message.received_ms
    ends = max([now_ms, *(line.at_ms for line in drawn)]) if drawn else began
    after = [*(line.at_ms for line in drawn[1:]), ends][: len(drawn)]
    whole = max(ends - began, 1)
    bars = tuple(
        _bar(line, node, max(line.at_ms, end), began, whole)
        for line, node, end in zip(drawn, nodes[-ROWS_MAX:], after, strict=True)
    )
    seen = tuple(dict.fromkeys(bar.node for bar in bars))
    return Waterfall(bars=bars, nodes=seen, began_ms=began, lasted_ms=ends - began, left_out=len(lines) - len(drawn))


def _bar(line: JourneyLine, node: str, end_ms: int, began_ms: int, whole_ms: int) -> Bar:
    kind = ENDS.get(line.event, "done")
    lasted = end_ms - line.at_ms if kind != "done" else 0
    x = min(WHOLE - LEAST, (line.at_ms - began_ms) * WHOLE // whole_ms)
    width = min(WHOLE - x, max(LEAST, lasted * WHOLE // whole_ms))
    return Bar(
        kind=kind,
        event=line.event,
        node=node,
        x=x,
        width=width,
        began_ms=line.at_ms,
        lasted_ms=lasted,
        detail=line.detail,
    )


def _nodes(lines: list[JourneyLine], last: str) -> list[str]:
    """Say at which node each step happened: an adoption names the node before, the last node is known."""
    owners = [str(line.detail.get("from", "")) or last for line in lines if line.event == "adopted"] + [last]
    found, index = [], 0
    for line in lines:
        if line.event == "adopted":
            index += 1
        found.append(owners[index])
    return found
