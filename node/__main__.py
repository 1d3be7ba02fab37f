"""The commands: ``relay-node`` (the daemon) and ``relayctl`` (the operator's), put together from what rooms offer."""

import faulthandler
from pathlib import Path
from typing import Annotated

import typer

from node import __version__
from node.cli import common, history, status, trace, wishes
from node.cli.approvals import approval_app
from node.cli.checks import show_findings
from node.cli.clients import client_app
from node.cli.config import config_app
from node.cli.disaster import disaster_app
from node.cli.erase import erase
from node.cli.init import init
from node.cli.m365 import m365_app
from node.cli.monitoring import monitoring_app
from node.cli.output import SYSTEM_FILE, ConfigOption, read_config
from node.cli.passwords import hash_password
from node.cli.pki import pki_app
from node.cli.plan import plan
from node.cli.queue import queue_app
from node.cli.remote import WrongUseError
from node.cli.route import route_app
from node.cli.support import support
from node.cli.tokens import audit_app, token_app
from node.cli.top import top
from node.cli.upgrade import cluster_app
from node.errors import RelayError
from node.rehearsal.commands import rehearse_app
from node.rehearsal.drill.faults import Kind, Timing

NodeOption = Annotated[str | None, typer.Option("--node", help="Name of this node in the configuration.")]

app = typer.Typer(
    name="relayctl",
    help="Operate an SMTP relay to Microsoft 365.",
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
    from node.app.run import run as run_node  # noqa: PLC0415 - the daemon's libraries take a second every command pays

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


@app.command("drill")
@common.told
def drill(
    on_demo: Annotated[bool, typer.Option("--demo", help="On a demonstration cluster of its own.")] = False,
    fault: Annotated[list[Kind] | None, typer.Option("--fault", help="Only this one; may be repeated.")] = None,
    output: Annotated[Path, typer.Option(help="Directory of report.html and report.json.")] = Path("var/drill/report"),
    rate: Annotated[float, typer.Option(help="Messages a second.", min=0.1, max=5.0)] = 3.0,
    patience: Annotated[float, typer.Option(help="Seconds to start, and to be whole again.", min=1)] = 180.0,
    timing: Annotated[Timing, typer.Option(help="Leases of 10 s or of 5 s.")] = Timing.STEADY,
) -> None:
    """Do faults to a cluster under synthetic mail, judge every promise from outside, and write a report."""
    from node.app.drill_run import Options, drill_demo  # noqa: PLC0415 - as in _run_node

    if not on_demo:
        raise WrongUseError("drill: faults are done to a demonstration cluster of its own only: give --demo")
    options = Options(kinds=tuple(fault or Kind), output=output, rate=rate, patience_s=patience, timing=timing.value)
    outcome = drill_demo(options, lambda text: common.errors.print(f"drill: {text}", markup=False))
    common.console.print(f"{output}/report.html: {outcome.stopped or 'every invariant held'}", markup=False)
    raise typer.Exit(0 if outcome.holds else common.EXIT_PROBLEM)


@m365_app.command("check")
@common.told
def check(
    config: ConfigOption = None,
    tenant: Annotated[str, typer.Option("--tenant", help="Only this tenant.")] = "",
    sends: Annotated[bool, typer.Option("--send/--no-send", help="Send tests, to the accounts themselves.")] = True,
    to: Annotated[str, typer.Option("--to", help="Send them to this address instead.")] = "",
    pairs: Annotated[int, typer.Option("--pairs", min=0, max=1000, help="From addresses tried with an account.")] = 10,
    quiet: Annotated[bool, typer.Option("--quiet", help="Only what is doubtful or will fail.")] = False,
    as_json: common.JsonOption = False,
) -> None:
    """Test every account and path of the configuration end to end, and name the cause of what fails."""
    from node.app.checking import Options, run_check  # noqa: PLC0415 - as in _run_node

    loaded = read_config(config)
    if tenant and tenant not in loaded.settings.tenants:
        raise WrongUseError(f"there is no tenant {tenant!r}; tenants: {', '.join(loaded.settings.tenants)}")
    found = run_check(loaded, Options(tenant=tenant, sends=sends, pairs=pairs, to=to))
    show_findings(found, as_json=as_json, quiet=quiet)


app.command()(init)
app.command("hash-password")(hash_password)
app.command("status")(status.status)
app.command("trace")(trace.trace)
app.command("history")(history.history)
app.command("erase")(erase)
app.add_typer(approval_app, name="approval")
app.command("budget")(status.budget)
app.command("top")(top)
app.command("pause")(wishes.pause)
app.command("hold")(wishes.hold)
app.command("drain")(wishes.drain)
app.command("support")(support)
app.command("plan")(plan)
app.add_typer(wishes.vip_app, name="vip")
app.add_typer(cluster_app, name="cluster")
app.add_typer(disaster_app, name="disaster")
app.add_typer(pki_app, name="pki")
app.add_typer(config_app, name="config")
app.add_typer(client_app, name="client")
app.add_typer(queue_app, name="queue")
app.add_typer(status.account_app, name="account")
app.add_typer(route_app, name="route")
app.add_typer(rehearse_app, name="rehearse")
app.add_typer(m365_app, name="m365")
app.add_typer(monitoring_app, name="monitoring")
app.add_typer(token_app, name="token")
app.add_typer(audit_app, name="audit")
client_app.command("seen")(status.clients_seen)
client_app.command("resume")(status.client_resume)


def relayctl() -> None:
    """Run the operator's command."""
    app()


def relay_node() -> None:
    """Run the daemon: ``relay-node [CONFIG] [--node NAME]``."""

    def daemon(
        config: Annotated[Path, typer.Argument(help="Configuration.")] = SYSTEM_FILE, node: NodeOption = None
    ) -> None:
        raise typer.Exit(_run_node(config, node))

    typer.run(daemon)


if __name__ == "__main__":
    relayctl()
