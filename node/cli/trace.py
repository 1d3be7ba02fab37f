"""``relayctl trace``: one message's journey, or the messages a question finds."""

from typing import Annotated, Any

import typer
from rich.markup import escape

from node.cli.common import (
    EXIT_PROBLEM,
    JsonOption,
    SocketOption,
    clean,
    connect,
    console,
    now_ms,
    show,
    show_json,
    told,
)
from node.cli.everywhere import HereFlag, find, place_of, say_missing, whereabouts
from node.cli.everywhere import trace as find_one
from node.policy.kinds import OUTSIDE
from node.settings.when import show_details, show_ms, show_span, since_ms

COLOURS = {
    "delivered": "green",
    "bounced": "red",
    "bounced_later": "red",
    "dead": "red",
    "deferred": "yellow",
    "unknown": "yellow",
    "held": "yellow",
}


@told
def trace(
    message: Annotated[str, typer.Argument(help="Queue id (the 250 says it).")] = "",
    recipient: Annotated[str, typer.Option("--to", help="Find by recipient; *@domain too.")] = "",
    sender: Annotated[str, typer.Option("--from", help="Find by sender; *@domain too.")] = "",
    since: Annotated[str, typer.Option("--since", help="Accepted since: 30m, 2h, 3d or a date.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000)] = 20,
    here: HereFlag = False,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Tell where a message is, what happened to it, and why it waits; whichever node has it."""
    remote = connect(socket)
    if message:
        view = find_one(remote, message, here=here)
        show_json(view) if as_json else print_journey(view)
        return
    if not (recipient or sender or since):
        raise typer.BadParameter("name a queue id, or --to, --from or --since")
    since_at = since_ms(since, now_ms())
    views, missing = find(remote, here=here, recipient=recipient, sender=sender, since_ms=since_at, limit=limit)
    show_json(views) if as_json else print_found(views)
    if say_missing(missing):
        raise typer.Exit(EXIT_PROBLEM)


def print_found(views: list[dict[str, Any]]) -> None:
    """Print a line for each recipient of each message."""
    rows = [
        (
            view["message"]["id"],
            place_of(view),
            show_ms(view["message"]["received_ms"])[:19],
            one["state"],
            view["message"]["mail_from"] or "<>",
            one["address"],
        )
        for view in views
        for one in view["recipients"]
    ]
    show(rows, ("id", "node", "accepted (UTC)", "state", "from", "to"), empty="nothing found")


def print_journey(view: dict[str, Any]) -> None:
    """Print one message: facts, recipients, then each step with the time since acceptance."""
    message = view["message"]
    _fact("id", message["id"])
    _fact("node", whereabouts(view))
    _fact("from", message["mail_from"] or "<>")
    _fact("client", f"{message['client']} ({message['priority']}, {message['size_bytes']} bytes)")
    _fact("accepted", f"{show_ms(message['received_ms'])} UTC from {message['source']}")
    _fact("message-id", message["message_id"])
    _fact("trace", (message["traceparent"] or "-none").split("-")[1])
    for one in view["recipients"]:
        colour = COLOURS.get(one["state"], "cyan")
        line = f"  {escape(clean(one['address']))}: [{colour}]{one['state']}[/{colour}]"
        if one["last_reason"]:
            line += f" ({escape(clean(one['last_reason']))})"
        if one["state"] in ("queued", "deferred") and one["next_attempt_ms"]:
            line += f", next try {show_ms(one['next_attempt_ms'])[:19]} UTC"
        console.print(line)
        if one["last_reply"]:
            console.print(f"    [dim]{escape(clean(one['last_reply']))}[/dim]")
    for step in view["lines"]:
        colour = COLOURS.get(step["event"], "cyan")
        after = show_span((step["at_ms"] - message["received_ms"]) / 1000)
        detail = clean(" ".join(f"{name}={value}" for name, value in show_details(step["detail"])))
        if str(step["detail"].get("way", "")).partition(":")[0] in OUTSIDE:
            detail += " (outside the tenant)"
        console.print(f"  +{after:>8}  [{colour}]{step['event']:<10}[/{colour}] {escape(detail)}")


def _fact(name: str, value: str) -> None:
    console.print(f"[bold]{name:<11}[/bold]{escape(clean(value))}")
