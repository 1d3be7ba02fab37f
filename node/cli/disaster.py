"""``relayctl disaster``: words for what no rule may decide by itself. Each is logged with who said it and why."""

import time
from typing import Annotated, Any, Final

import typer

from node.cli.common import JsonOption, SocketOption, connect, console, show_json, styled, told
from node.cli.remote import RefusedError, Remote, WrongUseError
from node.cli.wishes import WhyOption, seconds, wish
from node.settings.when import span_s

LOOK_S: Final = 0.2
disaster_app = typer.Typer(help="A machine is lost, or came back as an older copy of itself.", no_args_is_help=True)


@disaster_app.command("declare-dead")
@told
def declare_dead(
    node: Annotated[str, typer.Argument(help="Node whose machine is lost, or switched off for good.")],
    end: Annotated[bool, typer.Option("--undo", "--end", help="It is not dead; take the word back.")] = False,
    reason: WhyOption = "",
    for_: Annotated[str, typer.Option("--for", help="For how long, such as 12h; until it is back when absent.")] = "",
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Take over what a lost node had without the usual delay. See to it first that its machine is switched off.

    It ends by itself when the node begins a session again.
    """
    wish(socket, as_json, kind="dead", what=node, on=not end, reason=reason, for_s=seconds(for_))


@disaster_app.command("release-spool")
@told
def release_spool(
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the log.")] = "",
    wait: Annotated[str, typer.Option("--wait", help="How long to wait until it is in use; 0s: not at all.")] = "30s",
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Use this node's quarantined spool after all. What it has forgotten since it was copied may be sent again."""
    if not reason:
        raise WrongUseError("--reason is needed: what was sent since the copy was made may be sent again")
    patience_s, remote = span_s(wait), connect(socket)
    answer = remote.post("/v1/disaster/release-spool", {"reason": reason})
    if patience_s:
        _until_in_use(remote, patience_s)
    if as_json:
        show_json(answer)
    else:
        console.print(styled("the spool is in use again" if patience_s else "the spool is released"))


def _until_in_use(remote: Remote, patience_s: float) -> None:
    """Wait until the node takes mail again; raises RefusedError when it does not in time."""
    until_s = time.monotonic() + patience_s
    while True:
        seen: dict[str, Any] = remote.get("/v1/status")
        if not seen["copies"]["quarantined"] and seen["copies"]["sending"]:
            return
        if time.monotonic() > until_s:
            reasons = "; ".join(seen["readiness"]["reasons"]) or "it sends nothing yet"
            raise RefusedError(f"released, but not in use yet: {reasons}")
        time.sleep(LOOK_S)
