"""``relayctl disaster`` whole: words to a running node, and what is done while every node stands still.

``ledger`` and ``rebuild`` ask no node: after etcd was put back to an older copy none of them may begin a session.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli import common
from node.cli.disaster import disaster_app
from node.cli.output import ConfigOption, NodeOption, config_file
from node.cli.remote import WrongUseError

if TYPE_CHECKING:
    from node.cluster.restoring import Rebuilt
    from node.settings.reader import Loaded

__all__ = ("disaster_app",)
SHOWN_MAX = 20


@disaster_app.command("ledger")
@common.told
def ledger(config: ConfigOption = None, node: NodeOption = None) -> None:
    """Print what this node used of the limits of a day, by its own spool; the node must be stopped."""
    import msgspec  # noqa: PLC0415 - as below

    from node.app.disaster import ledger_here  # noqa: PLC0415 - only these two commands need spool and store

    typer.echo(msgspec.json.encode(ledger_here(_loaded(config, node))).decode())


@disaster_app.command("rebuild")
@common.told
def rebuild(
    ledgers: Annotated[list[Path], typer.Argument(help="What `disaster ledger` printed on each node.")],
    lost: Annotated[
        list[str] | None,
        typer.Option("--without", help="A node whose disk is lost; what it used since the copy is not known."),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the audit.")] = "",
    config: ConfigOption = None,
    node: NodeOption = None,
    as_json: common.JsonOption = False,
) -> None:
    """Make an etcd that was put back to an older copy count what the nodes know they used since. All must be stopped.

    Afterwards each host forgets which etcd it knew (docs/disaster.md), and starts.
    """
    from node.app.disaster import rebuild_from  # noqa: PLC0415 - as above

    if not reason:
        raise WrongUseError("--reason is needed: this etcd is the truth from now on")
    found = rebuild_from(_loaded(config, node), ledgers, lost or [], reason)
    if as_json:
        common.show_json({"raised": list(found.raised), "revision": found.revision})
    else:
        _show(found)


def _loaded(config: Path | None, node: str | None) -> "Loaded":
    """Read the configuration as one of its nodes, without its secrets: outside its unit they are not to be had."""
    from node.settings.reader import load  # noqa: PLC0415 - as above

    loaded = load(config_file(config), node_name=node, here=False)
    cluster = loaded.settings.cluster
    if cluster is None or loaded.node not in cluster.nodes:
        raise WrongUseError(f"{loaded.node} is no node of the configuration's cluster: say --node NAME")
    return loaded


def _show(found: "Rebuilt") -> None:
    for place in found.raised[:SHOWN_MAX]:
        common.console.print(common.styled(f"{place}: counts what the nodes used since the copy"))
    more = len(found.raised) - SHOWN_MAX
    if more > 0:
        common.console.print(common.styled(f"and {more} more"))
    common.console.print(common.styled(f"{len(found.raised)} counters raised; etcd is at revision {found.revision}"))
