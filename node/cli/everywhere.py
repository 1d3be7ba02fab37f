"""What commands about messages share: they ask all nodes through the one at hand, and say who did not answer."""

from typing import Annotated, Any, Final

import typer

from node.cli.common import errors, styled
from node.cli.remote import RefusedError, Remote

HereFlag = Annotated[bool, typer.Option("--here", help="On this node only, not in the whole cluster.")]
PLACES: Final = {"copy": "a copy at", "past": "history of another node's mail at", "shut": "a spool not in use at"}


def find(remote: Remote, *, here: bool, **query: str | int) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Give messages, newest first, and the nodes whose part is not in it, with why."""
    found = remote.get("/v1/everywhere/messages", here="true" if here else "", **query)
    return found["messages"], found["missing"]


def trace(remote: Remote, message_id: str, *, here: bool) -> dict[str, Any]:
    """Give a message as whoever knows it best has it, ``elsewhere``: who has something of it too.

    Raises RefusedError when nobody has it.
    """
    found = remote.get(f"/v1/everywhere/messages/{message_id}", here="true" if here else "")
    say_missing(found["missing"])
    if not found["messages"]:
        raise RefusedError(
            f"no message of that id {'here' if here or not found['missing'] else 'at those that answer'}"
        )
    best, *others = found["messages"]
    return {**best, "elsewhere": [{"node": each["node"], "place": each["place"]} for each in others]}


def say_missing(missing: dict[str, str]) -> bool:
    """Name the nodes that have not answered, on standard error; whether there are any."""
    for node, why in missing.items():
        errors.print(f"[yellow]not asked[/yellow]: {styled(node)}: {styled(why)}")
    return bool(missing)


def whereabouts(view: dict[str, Any]) -> str:
    """Say who has a message, and whether another machine has it too."""
    about = place_of(view)
    if view["protected"] is not None:
        about += ", kept on two machines" if view["protected"] else ", on this machine alone"
    also = ", ".join(map(place_of, view.get("elsewhere", ())))
    return f"{about}; also {also}" if also else about


def place_of(view: dict[str, Any]) -> str:
    """Name a node, and as what it has a message if that is not its own mail."""
    place = PLACES.get(view["place"], "")
    return f"{place} {view['node']}" if place else str(view["node"])


def kept(view: dict[str, Any]) -> str:
    """Say in one word how often a message that waits is kept."""
    return "" if view["protected"] is None else ("twice" if view["protected"] else "once")
