"""``relayctl approval``: what waits for a second person on this node, and the second person's word."""

import json
from typing import Annotated

import typer

from node.cli.common import JsonOption, ReasonOption, SocketOption, connect, console, show, show_json, styled, told
from node.settings.when import show_ms

approval_app = typer.Typer(
    help="Approve what somebody else asked for; show who you are by RELAY_TOKEN_FILE.", no_args_is_help=True
)
Which = Annotated[str, typer.Argument(help="Its id, as `approval list` shows it.")]


@approval_app.command("list")
@told
def list_(as_json: JsonOption = False, socket: SocketOption = None) -> None:
    """List what waits on this node."""
    waiting = connect(socket).get("/v1/approvals")
    if as_json:
        show_json(waiting)
        return
    rows = [
        (one["id"], one["kind"], one["actor"], show_ms(one["until_ms"])[:19], json.dumps(one["asks"]))
        for one in waiting
    ]
    show(rows, ("id", "kind", "asked by", "until (UTC)", "what"), empty="nothing waits")


@approval_app.command("yes")
@told
def yes(which: Which, reason: ReasonOption = "", socket: SocketOption = None) -> None:
    """Approve it: it is carried out at once, in the name of who asked."""
    show_json(connect(socket).post(f"/v1/approvals/{which}/yes", {"reason": reason}))


@approval_app.command("no")
@told
def no(which: Which, reason: ReasonOption = "", socket: SocketOption = None) -> None:
    """Refuse it: nothing is done."""
    connect(socket).post(f"/v1/approvals/{which}/no", {"reason": reason})
    console.print(styled(f"{which} is refused"))
