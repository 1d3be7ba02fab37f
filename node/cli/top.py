"""``relayctl top``: what moves, at a glance, drawn anew every few seconds; ``--once`` for programs and tests."""

import time
from typing import Annotated, Any, Final

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from node.cli.cluster import whole
from node.cli.common import SocketOption, clean, connect, console, told
from node.cli.remote import Remote, WrongUseError
from node.cli.top_page import page
from node.errors import RelayError
from node.policy.exposition import sums
from node.settings.when import BadTimeError, span_s

LEAST_S: Final = 0.5
MOST_S: Final = 60.0
METRICS_MAX_BYTES: Final = 8 << 20


@told
def top(
    every: Annotated[str, typer.Option("--every", help="Time between two looks, 500ms to 60s.")] = "2s",
    once: Annotated[bool, typer.Option("--once", help="Look once, print and end; rates of the first second.")] = False,
    socket: SocketOption = None,
) -> None:
    """Watch the node: rates, queue, limits, what rests, what is wrong. Ctrl-C ends it."""
    pause_s, remote = _pause(every), connect(socket)
    if not once and (not console.is_terminal or console.is_dumb_terminal):
        raise WrongUseError("standard output is no terminal that can be drawn on: use --once")
    before = _look(remote)
    if once:
        time.sleep(LEAST_S)
        console.print(page(before, _look(remote), console.width), soft_wrap=False)
        return
    with Live(page(before, before, console.width), console=console, auto_refresh=False, screen=True) as live:
        try:
            _watch(live, remote, before, pause_s)
        except KeyboardInterrupt:
            return


def _watch(live: Live, remote: Remote, before: dict[str, Any], pause_s: float) -> None:
    """Draw until interrupted; what was seen last stays while the node does not answer."""
    shown = page(before, before, console.width)
    while True:
        time.sleep(pause_s)
        try:
            now = _look(remote)
        except RelayError as error:  # a restart of the node must not end the view
            silent = Text(f"no answer, the figures are old: {clean(str(error))}", style="yellow")
            live.update(Group(silent, shown), refresh=True)
            continue
        shown = page(before, now, console.width)
        live.update(shown, refresh=True)
        before = now


def _pause(text: str) -> float:
    seconds = span_s(text)
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
