"""``relayctl status``, ``budget`` and ``account``: the node with its cluster, its limits and its ways to Microsoft."""

from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli.cluster import show_cluster, troubles_of, whole
from node.cli.common import (
    EXIT_PROBLEM,
    JsonOption,
    ReasonOption,
    SocketOption,
    connect,
    console,
    last_reply,
    now_ms,
    show,
    show_json,
    styled,
    told,
)
from node.cli.upgrade import show_level
from node.settings.when import show_ms, show_span

account_app = typer.Typer(help="Service accounts and paths.", no_args_is_help=True)


@told
def status(as_json: JsonOption = False, socket: SocketOption = None) -> None:
    """Show the node and its cluster in one page; exit code 1 if the node is not ready or anything is wrong."""
    remote = connect(socket)
    seen = whole(remote)
    troubles = troubles_of(seen)
    if as_json:
        show_json({**seen, "troubles": troubles})
    else:
        _page(seen)
        if seen["cluster"] is not None:
            show_cluster(seen["cluster"], seen["coordinator"])
        for trouble in troubles:
            console.print(f"{styled('trouble', 'bold red')}: {styled(trouble)}")
    if troubles or not seen["readiness"]["ready"]:
        raise typer.Exit(EXIT_PROBLEM)


def _page(seen: dict[str, Any]) -> None:
    readiness = seen["readiness"]
    ready = styled("ready", "green")
    mark = ready if readiness["ready"] else f"{styled('not ready', 'red')}: {styled('; '.join(readiness['reasons']))}"
    up = show_span((now_ms() - seen["started_ms"]) / 1000)
    console.print(f"{styled(seen['node'], 'bold')} {styled(seen['version'])} up {up}, {mark}")
    places = ", ".join(f"{name} {place}" for name, place in seen["listeners"].items())
    console.print(f"listening: {styled(places or 'nowhere')}")
    waiting = {state: number for state, number in seen["by_state"].items() if number}
    console.print(styled("recipients: " + (", ".join(f"{n} {state}" for state, n in waiting.items()) or "none")))
    for priority, oldest in seen["oldest_received_ms"].items():
        console.print(styled(f"oldest {priority}: {show_span((now_ms() - oldest) / 1000)}"))
    console.print(f"attempts in progress: {seen['attempts']}, connections: {seen['connections']}")
    console.print(f"configuration: {styled(seen['configuration'][:12])}")
    for line in seen.get("credentials", ()):
        console.print(f"{styled('credential', 'yellow')}: {styled(line)}")
    if seen.get("level") is not None:
        show_level(seen["level"])
    if seen.get("copies") is not None:
        _copies(seen["copies"])
    _ways(seen["ways"])


def _copies(copies: dict[str, Any]) -> None:
    """Say where second copies go and how much lies here alone."""
    where = styled(copies["shadow"], "green") if copies["shadow"] else f"{styled('nowhere', 'red')}: "
    console.print(f"second copies: {where}{'' if copies['shadow'] else styled(copies['why'])}")
    if copies["unprotected"]:
        console.print(f"{styled('unprotected', 'yellow')}: {copies['unprotected']} messages lie on this machine alone")
    if not copies["sending"]:
        console.print(styled("sends nothing now: no session, or mail here may be another node's", "yellow"))


def _ways(ways: list[dict[str, Any]]) -> None:
    rows = [
        (
            way["path"],
            way["account"],
            way["state"],
            way["reason"],
            show_ms(way["until_ms"])[:19],
            way["connections"],
            *last_reply(way),
        )
        for way in ways
    ]
    columns = ("path", "account", "state", "reason", "until (UTC)", "connections", "last reply", "at (UTC)")
    show(rows, columns, empty="no way to deliver")


@told
def budget(as_json: JsonOption = False, socket: SocketOption = None) -> None:
    """Show every limit: used, left, when the next unit comes free, when a day's will be used up; who holds what."""
    remote = connect(socket)
    uses, shares = remote.get("/v1/budget"), remote.get("/v1/shares")
    for use in uses:
        use["left"] = max(0, use["limit"] - use["used"])
        use["shares"] = shares.get(use["scope"], {}) if use["kind"] == "permits" else {}
    if as_json:
        show_json(uses)
    else:
        show_budget(uses)


def show_budget(uses: list[dict[str, Any]]) -> None:
    """Print the table of limits."""
    rows = [
        (
            use["scope"],
            use["kind"],
            f"{use['used']}/{use['limit']}",
            use["left"],
            show_span(use["window_s"]) if use["window_s"] else "",
            show_ms(use["retry_ms"])[:19],
            show_ms(use["exhausted_ms"])[:16],
            ", ".join(f"{node} {count}" for node, count in use["shares"].items()),
        )
        for use in uses
    ]
    columns = ("scope", "kind", "used", "left", "window", "next free (UTC)", "used up by (UTC)", "shares")
    show(rows, columns, empty="no limits")


@told
def clients_seen(as_json: JsonOption = False, socket: SocketOption = None) -> None:
    """Show what was seen of each client: last use, volume, weak TLS, clear passwords, bare line feeds."""
    views = connect(socket).get("/v1/clients")
    if as_json:
        show_json(views)
        return
    rows = [
        (
            view["client"],
            view["messages"],
            show_ms(view["last_seen_ms"])[:19],
            ", ".join(f"{name} {number}" for name, number in view["weaknesses"].items()),
            ", ".join(view["addresses"]),
        )
        for view in views
    ]
    show(rows, ("client", "messages", "last seen (UTC)", "weaknesses", "from"), empty="no client seen yet")


@account_app.command("list")
@told
def account_list(as_json: JsonOption = False, socket: SocketOption = None) -> None:
    """List accounts and paths with their standing."""
    ways = connect(socket).get("/v1/accounts")
    show_json(ways) if as_json else _ways(ways)


HereOption = Annotated[bool, typer.Option("--here", help="On this node only, not in the whole cluster.")]


def _change(action: str, account: str, reason: str, as_json: bool, socket: Path | None, here: bool = False) -> None:
    body = {"account": account, "reason": reason, **({"here": True} if here else {})}
    answer = connect(socket).post(f"/v1/accounts/{action}", body)
    if as_json:
        show_json(answer)
    else:
        console.print(styled(f"{account}: {DONE[action]}"))


DONE = {"park": "parked", "resume": "resumed"}
AccountArgument = Annotated[
    str, typer.Argument(help="Account or scope as `account list` names it; client/NAME, tenant/NAME, path/TENANT/KIND.")
]
ClientArgument = Annotated[str, typer.Argument(help="Client by its name in the configuration.")]


@account_app.command("park")
@told
def account_park(
    account: AccountArgument,
    reason: ReasonOption = "",
    here: HereOption = False,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Take an account, a path, a tenant or a client's mail out of use until resumed."""
    _change("park", account, reason, as_json, socket, here)


@account_app.command("resume")
@told
def account_resume(
    account: AccountArgument,
    reason: ReasonOption = "",
    here: HereOption = False,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Put it back into use now, whatever parked it."""
    _change("resume", account, reason, as_json, socket, here)


@told
def client_resume(
    client: ClientArgument, reason: ReasonOption = "", as_json: JsonOption = False, socket: SocketOption = None
) -> None:
    """Let a client's mail go on after its content was blocked upstream, or after `account park client/NAME`."""
    _change("resume", f"client/{client}", reason, as_json, socket)
