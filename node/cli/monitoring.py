"""``relayctl monitoring``: what Prometheus, Grafana and a collector need to watch a cluster."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final

import typer

from node.cli.common import console, styled, told
from node.cli.errors import UsageError
from node.cli.newfile import write_whole
from node.monitoring.grafana import boards, dashboard

monitoring_app = typer.Typer(help="Files for Prometheus, Grafana and a collector.", no_args_is_help=True)
AS_THEY_ARE: Final = {"alerts.yaml": "prometheus/m365-relay.rules.yaml", "collector.yaml": "otelcol/m365-relay.yaml"}


@monitoring_app.command("write")
@told
def write(
    directory: Annotated[Path, typer.Argument(help="Where to put them; made if it is not there.")],
    replace: Annotated[bool, typer.Option("--replace", help="Write over files of the same name.")] = False,
) -> None:
    """Write alerting rules, dashboards and a collector's configuration, as this version has them."""
    made = {place: files("node.monitoring").joinpath(name).read_text("utf-8") for name, place in AS_THEY_ARE.items()}
    for board in boards():
        made[f"grafana/{board.uid}.json"] = json.dumps(dashboard(board), indent=2) + "\n"
    there = [str(directory / place) for place in made if (directory / place).exists()]
    if there and not replace:
        raise UsageError(f"{', '.join(there)}: there already; nothing was written (--replace writes over them)")
    for place, text in made.items():
        path = directory / place
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text, replace=replace)
        console.print(styled(str(path)))
