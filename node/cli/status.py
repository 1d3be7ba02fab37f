"""``relayctl status``, ``budget`` and ``account``: the node, its limits and its ways to Microsoft."""

from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli.common import (
    EXIT_PROBLEM,
    JsonOption,
    ReasonOption,
    SocketOption,
    connect,
    console,
    now_ms,
    show,
    show_json,
    styled,
    told,
)
from node.cli.when import show_ms, show_span

account_app = typer.Typer(help="Service accounts and paths.", no_args_is_help=True)


@told
def status(as_json: JsonOption = False, socket: SocketOption = None) -> None:
    """Show the node in one page; exit code 1 if it is not ready."""
    seen = connect(socket).get("/v1/status")
    if as_json:
        show_json(seen)
    else:
        _page(seen)
    if not seen["readiness"]["ready"]:
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
    _ways(seen["ways"])


def _ways(ways: list[dict[str, Any]]) -> None:
    rows = [
        (way["path"], way["account"], way["state"], way["reason"], show_ms(way["until_ms"])[:19], way["connections"])
        for way in ways
    ]
    show(rows, ("path", "account", "state", "reason", "until (UTC)", "connections"), empty="no way to deliver")


@told
def budget(as_json: JsonOption = False, socket: SocketOption = None) -> None:
    """Show every limit, how much of it is used, when the next unit comes free, and when a day's will be used up."""
    uses = connect(socket).get("/v1/budget")
    if as_json:
        show_json(uses)
        return
    rows = [
        (
            use["scope"],
            use["kind"],
            f"{use['used']}/{use['limit']}",
            show_span(use["window_s"]) if use["window_s"] else "",
            show_ms(use["retry_ms"])[:19],
            show_ms(use["exhausted_ms"])[:16],
        )
        for use in uses
    ]
    show(rows, ("scope", "kind", "used", "window", "next free (UTC)", "used up by (UTC)"), empty="no limits")


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


def _change(action: str, account: str, reason: str, as_json: bool, socket: Path | None) -> None:
    answer = connect(socket).post(f"/v1/accounts/{action}", {"account": account, "reason": reason})
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
    account: AccountArgument, reason: ReasonOption = "", as_json: JsonOption = False, socket: SocketOption = None
) -> None:
    """Take an account, a path, a tenant or a client's mail out of use until resumed."""
    _change("park", account, reason, as_json, socket)


@account_app.command("resume")
@told
def account_resume(
    account: AccountArgument, reason: ReasonOption = "", as_json: JsonOption = False, socket: SocketOption = None
) -> None:
    """Put it back into use now, whatever parked it."""
    _change("resume", account, reason, as_json, socket)


@told
def client_resume(
    client: ClientArgument, reason: ReasonOption = "", as_json: JsonOption = False, socket: SocketOption = None
) -> None:
    """Let a client's mail go on after its content was blocked upstream, or after `account park client/NAME`."""
    _change("resume", f"client/{client}", reason, as_json, socket)
