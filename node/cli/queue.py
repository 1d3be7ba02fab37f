"""``relayctl queue``: list, show, hold, release, retry, delete, export."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from node.cli.common import JsonOption, ReasonOption, SocketOption, connect, now_ms, show, show_json, told
from node.cli.trace import print_journey
from node.cli.when import show_ms, show_span, since_ms

WAITING = "queued,deferred,in_flight,unknown,held,dead"

queue_app = typer.Typer(help="Look at and act on mail that waits.", no_args_is_help=True)
Ids = Annotated[list[str] | None, typer.Argument(help="Queue ids.")]
ClientFlag = Annotated[str, typer.Option("--client", help="Only mail of this client rule.")]
FromFlag = Annotated[str, typer.Option("--from", help="Only mail of this sender; *@domain too.")]
ToFlag = Annotated[str, typer.Option("--to", help="Only mail to this recipient; *@domain too.")]
StateFlag = Annotated[str, typer.Option("--state", help="Only recipients in these states, comma separated.")]
WhyFlag = Annotated[str, typer.Option("--why", help="Only mail waiting for this reason.")]
SinceFlag = Annotated[str, typer.Option("--since", help="Only mail accepted since: 30m, 2h, 3d or a date.")]
AllFlag = Annotated[bool, typer.Option("--all", help="Mean every message.")]
LimitFlag = Annotated[int, typer.Option("--limit", min=1, max=10_000)]


def _filter(
    ids: list[str] | None, state: str, client: str, sender: str, recipient: str, why: str, since: str, limit: int
) -> dict[str, str | int]:
    wanted: dict[str, str | int] = {
        "ids": ",".join(ids or ()),
        "states": state,
        "client": client,
        "sender": sender,
        "recipient": recipient,
        "reason": why,
        "since_ms": since_ms(since, now_ms()),
        "limit": limit,
    }
    return {key: value for key, value in wanted.items() if value}


@queue_app.command("list")
@told
def list_(
    state: StateFlag = WAITING,
    client: ClientFlag = "",
    sender: FromFlag = "",
    recipient: ToFlag = "",
    why: WhyFlag = "",
    since: SinceFlag = "",
    limit: LimitFlag = 50,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """List waiting mail, newest first."""
    views = connect(socket).get("/v1/messages", **_filter(None, state, client, sender, recipient, why, since, limit))
    if as_json:
        show_json(views)
        return
    wanted = set(state.split(","))
    rows = []
    for view in views:
        message = view["message"]
        age = show_span((now_ms() - message["received_ms"]) / 1000)
        for one in view["recipients"]:
            if one["state"] in wanted:
                again = show_ms(one["next_attempt_ms"])[11:19] if one["state"] in ("queued", "deferred") else ""
                rows.append(
                    (
                        message["id"],
                        one["state"],
                        age,
                        message["mail_from"] or "<>",
                        one["address"],
                        again,
                        one["last_reason"],
                    )
                )
    show(rows, ("id", "state", "age", "from", "to", "next", "reason"), empty="nothing waits")


@queue_app.command("show")
@told
def show_one(message_id: str, as_json: JsonOption = False, socket: SocketOption = None) -> None:
    """Show one message with every recipient and its journey."""
    view = connect(socket).get(f"/v1/messages/{message_id}")
    if as_json:
        show_json(view)
    else:
        print_journey(view)


def _act(action: str, body: dict[str, object], as_json: bool, socket: Path | None) -> None:
    changed = connect(socket).post(f"/v1/queue/{action}", body)
    if as_json:
        show_json(changed)
    else:
        typer.echo(f"{changed['changed']} recipient(s) changed")


def _command(action: str, name: str, help_text: str) -> None:
    @queue_app.command(name, help=help_text)
    @told
    def act(
        ids: Ids = None,
        state: StateFlag = "",
        client: ClientFlag = "",
        sender: FromFlag = "",
        recipient: ToFlag = "",
        why: WhyFlag = "",
        since: SinceFlag = "",
        everything: AllFlag = False,
        reason: ReasonOption = "",
        as_json: JsonOption = False,
        socket: SocketOption = None,
    ) -> None:
        which = _filter(ids, state, client, sender, recipient, why, since, 10_000)
        if not ids:
            which.pop("ids", None)
        _act(action, {"filter": which, "all": everything, "reason": reason}, as_json, socket)


_command("hold", "hold", "Stop trying these recipients until released.")
_command("release", "release", "Make held, deferred or dead recipients due now.")
_command("release", "retry", "Try these recipients now instead of at their scheduled time.")
_command("delete", "delete", "Remove waiting recipients without telling the sender.")


@queue_app.command("export")
@told
def export(
    message_id: str,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File; standard output when absent.")] = None,
    socket: SocketOption = None,
) -> None:
    """Write a waiting message as it would be sent. Noted in the log with who asked."""
    remote = connect(socket)
    if output is None:
        remote.download(f"/v1/messages/{message_id}/body", sys.stdout.buffer.write)
        return
    with output.open("xb") as file:
        remote.download(f"/v1/messages/{message_id}/body", file.write)
