"""The commands: ``relay-node`` (the daemon) and ``relayctl`` (the operator's), put together from what rooms offer."""

import faulthandler
import gc
from pathlib import Path
from typing import Annotated, Final

import typer

from node import __version__
from node.cli import common
from node.cli.lazy import lazily
from node.errors import RelayError

PLACES: Final = {
    "init": "node.cli.init:init",
    "hash-password": "node.cli.passwords:hash_password",
    "status": "node.cli.status:status",
    "top": "node.cli.top:top",
    "trace": "node.cli.trace:trace",
    "history": "node.cli.history:history",
    "budget": "node.cli.status:budget",
    "pause": "node.cli.wishes:pause",
    "hold": "node.cli.wishes:hold",
    "drain": "node.cli.wishes:drain",
    "erase": "node.cli.erase:erase",
    "approval": "node.cli.approvals:approval_app",
    "support": "node.cli.support:support",
    "plan": "node.cli.plan:plan",
    "drill": "node.app.drill_command:drill",
    "login": "node.cli.login:login",
    "logout": "node.cli.login:logout",
    "completion": "node.cli.completion:completion",
    "vip": "node.cli.wishes:vip_app",
    "cluster": "node.cli.upgrade:cluster_app",
    "disaster": "node.app.disaster_commands:disaster_app",
    "pki": "node.cli.pki:pki_app",
    "config": "node.cli.config:config_app",
    "client": "node.cli.clients:client_app",
    "queue": "node.cli.queue:queue_app",
    "account": "node.cli.status:account_app",
    "route": "node.cli.route:route_app",
    "rehearse": "node.rehearsal.commands:rehearse_app",
    "m365": "node.app.m365_commands:m365_app",
    "monitoring": "node.cli.monitoring:monitoring_app",
    "token": "node.cli.tokens:token_app",
    "audit": "node.cli.tokens:audit_app",
}
"""Commands and where each is: imported when it is asked for (``node/cli/lazy.py``)."""
NodeOption = Annotated[str | None, typer.Option("--node", help="Name of this node in the configuration.")]

app = typer.Typer(
    name="relayctl",
    help="Operate an SMTP relay to Microsoft 365.",
    cls=lazily(PLACES),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    """Operate an SMTP relay to Microsoft 365."""
    if version:
        typer.echo(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(common.EXIT_USAGE)


def _run_node(config: Path, node: str | None = None) -> int:
    gc.disable()  # what imports make stays for good: looking through it again and again is a tenth of the start
    from node.app.run import run as run_node  # noqa: PLC0415 - the daemon's libraries take a second every command pays

    gc.freeze()
    gc.enable()
    faulthandler.enable()  # a crash in C code says where each thread was
    return run_node(config, node_name=node)


@app.command()
def run(
    config: Annotated[Path | None, typer.Argument(help="Configuration; without one, a demonstration in ./var.")] = None,
    node: NodeOption = None,
) -> None:
    """Run one node in the foreground: everything in one place, no cluster needed."""
    from node.app.demo import demo  # noqa: PLC0415 - as in _run_node

    try:
        code = demo(_run_node) if config is None else _run_node(config, node)
    except RelayError as error:
        common.errors.print(f"relayctl: {error}", markup=False)
        code = common.EXIT_PROBLEM
    raise typer.Exit(code)


@app.command("demo")
def demonstrate() -> None:
    """Run three nodes, three etcd members and a simulated Microsoft 365 here, to try a cluster on."""
    from node.app.demo_run import demo_cluster  # noqa: PLC0415 - as in _run_node

    raise typer.Exit(common.told(demo_cluster)())


def relayctl() -> None:
    """Run the operator's command."""
    app()


def relay_node() -> None:
    """Run the daemon: ``relay-node [CONFIG] [--node NAME]``."""
    from node.cli.output import SYSTEM_FILE  # noqa: PLC0415 - where the default is

    def daemon(
        config: Annotated[Path, typer.Argument(help="Configuration.")] = SYSTEM_FILE, node: NodeOption = None
    ) -> None:
        raise typer.Exit(_run_node(config, node))

    typer.run(daemon)


if __name__ == "__main__":
    relayctl()
