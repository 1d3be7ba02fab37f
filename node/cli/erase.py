"""``relayctl erase``: takes an address out of what a node remembers of settled mail."""

from typing import Annotated

import typer

from node.cli.common import JsonOption, SocketOption, connect, console, show_json, told
from node.cli.remote import WrongUseError


@told
def erase(
    address: Annotated[str, typer.Argument(help="The address that shall be in no history.")],
    sure: Annotated[bool, typer.Option("--yes", help="It cannot be taken back; say so.")] = False,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Take an address out of this node's history and lists, and out of the copies it keeps. Do it on every node."""
    if not sure:
        raise WrongUseError("an address that was erased cannot be brought back: say --yes")
    answer = connect(socket).post("/v1/erase", {"address": address})
    if as_json:
        show_json(answer)
        return
    console.print(f"erased from {answer['changed']} entries of this node; other nodes have their own", markup=False)
