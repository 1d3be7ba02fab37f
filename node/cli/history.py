"""``relayctl history``: who sent what to whom, on all nodes, page after page; newest first."""

from typing import Annotated, Any, Final

import typer

from node.cli.common import EXIT_PROBLEM, JsonOption, SocketOption, connect, console, now_ms, show_json, styled, told
from node.cli.everywhere import HereFlag, say_missing
from node.cli.remote import Remote
from node.cli.trace import print_found
from node.settings.when import since_ms

PAGE: Final = 200
PAGES_MAX: Final = 10_000
"""Pages of one command: whatever is asked for, it ends."""


@told
def history(
    recipient: Annotated[str, typer.Option("--to", help="To this recipient; *@domain too.")] = "",
    sender: Annotated[str, typer.Option("--from", help="From this sender; *@domain too.")] = "",
    client: Annotated[str, typer.Option("--client", help="Of this client rule.")] = "",
    message: Annotated[str, typer.Option("--id", help="Of these queue ids, comma separated.")] = "",
    state: Annotated[str, typer.Option("--state", help="With a recipient in one of these states.")] = "",
    since: Annotated[str, typer.Option("--since", help="Accepted since: 30m, 2h, 3d or a date.")] = "",
    until: Annotated[str, typer.Option("--until", help="Accepted before: as --since.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="How many to show.")] = 50,
    before: Annotated[str, typer.Option("--before", help="Go on where an earlier answer ended.")] = "",
    here: HereFlag = False,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Find messages, waiting and past, on all nodes; exit code 1 if one of them did not answer."""
    at_ms = now_ms()
    wanted: dict[str, str | int] = {
        "recipient": recipient,
        "sender": sender,
        "client": client,
        "ids": message,
        "states": state,
        "since_ms": since_ms(since, at_ms),
        "until_ms": since_ms(until, at_ms),
        "here": "true" if here else "",
    }
    found, rest, missing = _found(connect(socket), {k: v for k, v in wanted.items() if v}, limit, before)
    if as_json:
        show_json({"messages": found, "next": rest, "missing": missing})
    else:
        print_found(found)
        if rest:
            console.print(styled(f"there may be more: --before {rest}", "dim"))
    if say_missing(missing):
        raise typer.Exit(EXIT_PROBLEM)


def _found(
    remote: Remote, wanted: dict[str, str | int], limit: int, before: str
) -> tuple[list[dict[str, Any]], str, dict[str, str]]:
    """Turn pages until there are enough or that was all; what was found, where to go on, and who did not answer."""
    found: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    for _ in range(PAGES_MAX):
        page = remote.get("/v1/history", **wanted, limit=min(PAGE, limit - len(found)), before=before)
        found += page["messages"]
        missing |= page["missing"]
        before = page["next"]
        if not before or len(found) >= limit:
            break
    return found, before, missing
