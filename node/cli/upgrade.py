"""``relayctl cluster``: who is there and of which version, and the word that ends an upgrade."""

from typing import Annotated, Any

import typer

from node.cli.common import JsonOption, SocketOption, connect, console, show, show_json, styled, told
from node.cli.remote import RefusedError, WrongUseError
from node.settings.when import show_ms

cluster_app = typer.Typer(help="The cluster's processes, and upgrades.", no_args_is_help=True)


@cluster_app.command("members")
@told
def members(as_json: JsonOption = False, socket: SocketOption = None) -> None:
    """List every process that has a session: its version, and the levels, protocols and schemas it knows."""
    cluster = connect(socket).get("/v1/cluster")
    if cluster is None:
        raise RefusedError("this node belongs to no cluster")
    if as_json:
        show_json(cluster["members"])
        return
    rows = [
        (
            each["node"],
            each["role"],
            each["site"],
            each["version"] or "?",
            span(each["levels"]) or "cannot be read",
            span(each["protocols"]),
            span(each["schemas"]),
        )
        for each in cluster["members"]
    ]
    show(rows, ("node", "process", "site", "version", "levels", "protocols", "spool schemas"), empty="nobody is there")


@cluster_app.command("finalise")
@told
def finalise(
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the level in force.")] = "",
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """End an upgrade: the newest level all processes know comes in force. There is no way back to older versions."""
    if not reason:
        raise WrongUseError("--reason is needed: afterwards older versions refuse to start")
    level = connect(socket).post("/v1/cluster/finalise", {"reason": reason})
    show_json(level) if as_json else show_level(level)


def show_level(level: dict[str, Any]) -> None:
    """Print which level is in force, and what may be done about it."""
    known = span([level["oldest"], level["newest"]])
    by = f", {whose(level)}" if level["at_ms"] else ""
    console.print(
        f"level {styled(str(level['level']), 'bold')} in force{styled(by)}; this version knows {known}, "
        f"protocol {level['protocol']}, spool schema {level['schema']}"
    )
    if level["newest"] > level["level"]:
        text = f"level {level['newest']} waits for `relayctl cluster finalise`, once all are upgraded for good"
        console.print(styled(text, "yellow"))
    if level["schema_due"] > level["schema"]:
        console.print(styled(f"the spool gets schema {level['schema_due']} at the next start", "yellow"))


def whose(level: dict[str, Any]) -> str:
    """Say on whose word the level is in force."""
    day = show_ms(level["at_ms"])[:16]
    if not level["actor"]:
        return f"since the cluster began, {day} UTC"
    return f"finalised {day} UTC by {level['actor']} at {level['node']}: {level['reason']}"


def span(numbers: list[int]) -> str:
    """Show a range; empty for zeros, which mean none."""
    least, most = numbers
    return "" if not most else (f"{least}" if least == most else f"{least} to {most}")
