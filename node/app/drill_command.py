"""``relayctl drill``: faults done to a demonstration cluster, and a report."""

from pathlib import Path
from typing import Annotated

import typer

from node.cli import common
from node.cli.remote import WrongUseError
from node.rehearsal.drill.faults import Kind, Timing


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
    from node.app.drill_run import Options, drill_demo  # noqa: PLC0415 - only this command needs the demo's parts

    if not on_demo:
        raise WrongUseError("drill: faults are done to a demonstration cluster of its own only: give --demo")
    options = Options(kinds=tuple(fault or Kind), output=output, rate=rate, patience_s=patience, timing=timing.value)
    outcome = drill_demo(options, lambda text: common.errors.print(f"drill: {text}", markup=False))
    common.console.print(f"{output}/report.html: {outcome.stopped or 'every invariant held'}", markup=False)
    raise typer.Exit(0 if outcome.holds else common.EXIT_PROBLEM)
