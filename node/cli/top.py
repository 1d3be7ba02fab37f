"""``relayctl top``: what moves, at a glance, drawn anew every few seconds; ``--once`` for programs and tests."""

import re
import time
from typing import Annotated, Any, Final

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from node.cli.cluster import troubles_of, whole
from node.cli.common import SocketOption, clean, connect, console, told
from node.cli.remote import Remote
from node.cli.when import BadTimeError, show_ms, show_span
from node.errors import RelayError
from node.settings.units import parse_duration

LEAST_S: Final = 0.5
MOST_S: Final = 60.0
ROWS_MAX: Final = 20
"""More accounts than fit a screen: the busiest are shown."""
METRICS_MAX_BYTES: Final = 8 << 20
RATES: Final = {
    "accepted": "relay_messages_accepted",
    "delivered": "relay_recipients_delivered",
    "deferred": "relay_recipients_deferred",
    "bounced": "relay_recipients_bounced",
    "refused at the door": "relay_intake_refused",
}
_SAMPLE = re.compile(r"^([a-z_]+?)(?:_total)?(?:\{.*\})? ([0-9.eE+]+)$", re.MULTILINE | re.ASCII)


@told
def top(
    every: Annotated[str, typer.Option("--every", help="Time between two looks, 500ms to 60s.")] = "2s",
    once: Annotated[bool, typer.Option("--once", help="Look once, print and end; rates of the first second.")] = False,
    socket: SocketOption = None,
) -> None:
    """Watch the node: rates, queue, limits, what rests, what is wrong. Ctrl-C ends it."""
    pause_s, remote = _pause(every), connect(socket)
    before = _look(remote)
    if once:
        time.sleep(LEAST_S)
        console.print(_page(before, _look(remote)))
        return
    with Live(_page(before, before), console=console, auto_refresh=False, screen=console.is_terminal) as live:
        try:
            while True:
                time.sleep(pause_s)
                try:
                    now = _look(remote)
                except RelayError as error:  # a restart of the node must not end the view
                    live.update(Text(f"waiting: {clean(str(error))}", style="yellow"), refresh=True)
                    continue
                live.update(_page(before, now), refresh=True)
                before = now
        except KeyboardInterrupt:
            return


def _pause(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise BadTimeError(str(error)) from None
    if not LEAST_S <= seconds <= MOST_S:
        raise BadTimeError(f"--every: expected 500ms to 60s, not {text}")
    return seconds


def _look(remote: Remote) -> dict[str, Any]:
    """Ask for everything the page shows."""
    chunks: list[bytes] = []
    remote.download("/metrics", lambda chunk: chunks.append(chunk) if len(chunks) < METRICS_MAX_BYTES >> 16 else None)
    return {
        "at_s": time.monotonic(),
        "status": whole(remote),
        "budget": remote.get("/v1/budget"),
        "counters": sums(b"".join(chunks).decode("utf-8", "replace")),
    }


def sums(exposition: str) -> dict[str, float]:
    """Add up every metric of a Prometheus page over its labels."""
    found: dict[str, float] = {}
    for name, value in _SAMPLE.findall(exposition):
        found[name] = found.get(name, 0.0) + float(value)
    return found


def _page(before: dict[str, Any], now: dict[str, Any]) -> Group:
    seen = now["status"]
    head = Text(clean(seen["node"]), style="bold")
    head.append(
        " ready" if seen["readiness"]["ready"] else " not ready", "green" if seen["readiness"]["ready"] else "red"
    )
    head.append(f"  {show_ms(time.time_ns() // 1_000_000)[:19]} UTC", "dim")
    if seen["cluster"] is not None:
        cluster = seen["cluster"]
        head.append(clean(f"  cluster {cluster['name']}: {cluster['phase']}, leader {cluster['leader'] or 'nobody'}"))
    parts = [head, _rates(before, now), _queue(seen), _limits(now["budget"]), _resting(seen["ways"])]
    parts += [Text(f"trouble: {clean(trouble)}", style="red") for trouble in troubles_of(seen)[:ROWS_MAX]]
    return Group(*(part for part in parts if part is not None))


def _rates(before: dict[str, Any], now: dict[str, Any]) -> Text:
    seconds = max(now["at_s"] - before["at_s"], 0.001)
    shown = []
    for label, name in RATES.items():
        grown = now["counters"].get(name, 0.0) - before["counters"].get(name, 0.0)
        shown.append(f"{label} {max(grown, 0.0) / seconds:.1f}/s")  # a restarted node counts from 0 again
    return Text("  ".join(shown))


def _queue(seen: dict[str, Any]) -> Text:
    states = "  ".join(f"{state} {number}" for state, number in seen["by_state"].items() if number)
    oldest = "  ".join(
        f"oldest {priority} {show_span(time.time() - at_ms / 1000)}"
        for priority, at_ms in seen["oldest_received_ms"].items()
    )
    return Text(clean(f"queue: {states or 'empty'}  {oldest}").rstrip())


def _limits(uses: list[dict[str, Any]]) -> Table | None:
    busy = sorted(uses, key=lambda use: -use["used"] / max(use["limit"], 1))[:ROWS_MAX]
    if not busy:
        return None
    table = Table("limit", "kind", "used", "next free (UTC)", box=None, pad_edge=False, header_style="bold")
    for use in busy:
        share = use["used"] / max(use["limit"], 1)
        style = "red" if share >= 1 else "yellow" if share >= 0.8 else ""  # noqa: PLR2004 - the usual mark
        cells = (use["scope"], use["kind"], f"{use['used']}/{use['limit']}", show_ms(use["retry_ms"])[11:19])
        table.add_row(*(Text(clean(str(cell)), style=style) for cell in cells))
    return table


def _resting(ways: list[dict[str, Any]]) -> Table | None:
    resting = [way for way in ways if way["state"] != "healthy"][:ROWS_MAX]
    if not resting:
        return None
    table = Table("resting", "state", "reason", "until (UTC)", box=None, pad_edge=False, header_style="bold")
    for way in resting:
        cells = (way["account"], way["state"], way["reason"], show_ms(way["until_ms"])[:19])
        table.add_row(*(Text(clean(str(cell))) for cell in cells))
    return table
