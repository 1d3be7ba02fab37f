"""``relayctl queue``: list, show, hold, release, retry, delete, export."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli.common import (
    EXIT_PROBLEM,
    JsonOption,
    ReasonOption,
    SocketOption,
    connect,
    now_ms,
    show,
    show_json,
    told,
)
from node.cli.errors import UsageError
from node.cli.everywhere import HereFlag, find, kept, place_of, say_missing, trace
from node.cli.remote import RefusedError, Remote
from node.cli.trace import print_journey
from node.settings.when import show_ms, show_span, since_ms

ROUNDS_MAX = 1_000
"""Requests of one action; the node changes up to twenty thousand messages in each."""
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
    here: HereFlag = False,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """List waiting mail of all nodes, newest first; exit code 1 if one of them could not be asked."""
    query = _filter(None, state, client, sender, recipient, why, since, limit)
    views, missing = find(connect(socket), here=here, **query)
    show_json(views) if as_json else _table(views, set(state.split(",")))
    if say_missing(missing):
        raise typer.Exit(EXIT_PROBLEM)


def _table(views: list[dict[str, Any]], wanted: set[str]) -> None:
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
                        place_of(view),
                        kept(view),
                        one["state"],
                        age,
                        message["mail_from"] or "<>",
                        one["address"],
                        again,
                        one["last_reason"],
                    )
                )
    show(rows, ("id", "node", "kept", "state", "age", "from", "to", "next", "reason"), empty="nothing waits")


@queue_app.command("show")
@told
def show_one(message_id: str, here: HereFlag = False, as_json: JsonOption = False, socket: SocketOption = None) -> None:
    """Show one message with every recipient and its journey, whichever node has it."""
    view = trace(connect(socket), message_id, here=here)
    if as_json:
        show_json(view)
    else:
        print_journey(view)


def _act(place: str, body: dict[str, object], as_json: bool, socket: Path | None) -> None:
    """Act until nobody says that more is left.

    Exit code 1 if a node could not be asked, or ids were named and none of them could be changed.
    """
    remote, changed = connect(socket), 0
    missing: dict[str, str] = {}
    for _ in range(ROUNDS_MAX):
        answer = remote.post(place, body)
        changed += answer["changed"]
        missing |= answer["missing"]
        if not answer["more"]:
            break
    if as_json:
        show_json({"changed": changed, **({"missing": missing} if missing else {})})
    else:
        typer.echo(f"{changed} recipient(s) changed")
    if say_missing(missing):
        raise typer.Exit(EXIT_PROBLEM)
    wanted = body["filter"]
    if not changed and isinstance(wanted, dict) and wanted.get("ids"):
        raise typer.Exit(EXIT_PROBLEM)


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
        here: HereFlag = False,
        reason: ReasonOption = "",
        as_json: JsonOption = False,
        socket: SocketOption = None,
    ) -> None:
        which = _filter(ids, state, client, sender, recipient, why, since, 0)
        place = f"/v1/queue/{action}" if here else f"/v1/everywhere/queue/{action}"
        _act(place, {"filter": which, "all": everything, "reason": reason}, as_json, socket)


_command("hold", "hold", "Stop trying these recipients until released.")
_command("release", "release", "Make held, deferred or dead recipients due now.")
_command("release", "retry", "Try these recipients now instead of at their scheduled time.")
_command("delete", "delete", "Remove waiting recipients without telling the sender.")


@queue_app.command("export")
@told
def export(
    message_id: str,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="New file (0600); standard output when absent.")
    ] = None,
    socket: SocketOption = None,
) -> None:
    """Write a waiting message as it would be sent. Noted in the log with who asked."""
    remote = connect(socket)
    if output is None:
        _download(remote, message_id, sys.stdout.buffer.write)
        return
    try:
        with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            try:
                _download(remote, message_id, file.write)
            except BaseException:
                output.unlink()
                raise
    except OSError as error:
        raise UsageError(f"{output}: {error.strerror}; nothing was written") from None


def _download(remote: Remote, message_id: str, write: Callable[[bytes], object]) -> None:
    """Fetch a body from this node; one that is another's is not fetched, but said whose it is."""
    try:
        remote.download(f"/v1/messages/{message_id}/body", write)
    except RefusedError as error:
        found, _ = find(remote, here=False, ids=message_id)
        if not found or found[0]["finished_ms"]:
            raise
        raise RefusedError(f"{error}: it is at {place_of(found[0])}, export it there") from None
