"""``relayctl rehearse``: the simulator and the load as one group of commands; mounts what the parts offer."""

import typer

from node.rehearsal.checking.commands import checking
from node.rehearsal.load.commands import load, reconciliation
from node.rehearsal.simulator.commands import m365

rehearse_app = typer.Typer(no_args_is_help=True, help="Rehearse against a simulated Microsoft 365.")
rehearse_app.command("m365")(m365)
rehearse_app.command("load")(load)
rehearse_app.command("reconcile")(reconciliation)
rehearse_app.command("check")(checking)
