"""``relayctl erase``: take an address out of the history of every node, and see how far that is."""

import time
from typing import Annotated, Any, Final

import typer

from node.cli.common import EXIT_PROBLEM, JsonOption, SocketOption, connect, console, show, show_json, styled, told
from node.cli.everywhere import say_missing
from node.cli.remote import Remote, WrongUseError
from node.settings.when import show_ms, span_s

LOOK_S: Final = 0.5


@told
def erase(
    address: Annotated[str, typer.Argument(help="The address; none: show what is being erased.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the audit, so without the address.")] = "",
    wait: Annotated[str, typer.Option("--wait", help="How long to wait until every node is done.")] = "10s",
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Erase an address on every node; exit code 1 while one is not done: it is asked again by itself."""
    remote = connect(socket)
    if not address:
        _shown(remote.get("/v1/erasures"), as_json)
        return
    if not reason:
        raise WrongUseError("--reason is needed: what is erased cannot be brought back")
    begun = remote.post("/v1/everywhere/erase", {"address": address, "reason": reason})
    view = _until_done(remote, begun, span_s(wait))
    if as_json:
        show_json(view)
    else:
        done = "no node has it any more" if view["done_ms"] else "not done; whoever is away is asked again by itself"
        console.print(styled(f"{view['changed']} row(s) changed; {done} (order {view['id']})"))
    if say_missing(view["waiting"]) or not view["done_ms"]:
        raise typer.Exit(EXIT_PROBLEM)


def _until_done(remote: Remote, view: dict[str, Any], patience_s: float) -> dict[str, Any]:
    until_s = time.monotonic() + patience_s
    while not view["done_ms"] and time.monotonic() < until_s:
        time.sleep(LOOK_S)
        view = next((one for one in remote.get("/v1/erasures") if one["id"] == view["id"]), view)
    return view


def _shown(views: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        show_json(views)
        return
    rows = [
        (one["id"], show_ms(one["at_ms"])[:19], one["actor"], one["changed"], show_ms(one["done_ms"])[:19], _why(one))
        for one in views
    ]
    show(rows, ("id", "asked (UTC)", "by", "changed", "done (UTC)", "waits for"), empty="nothing is being erased")


def _why(view: dict[str, Any]) -> str:
    return "; ".join(f"{node}: {why}" for node, why in view["waiting"].items())
