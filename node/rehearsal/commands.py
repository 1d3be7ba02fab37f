"""``relayctl rehearse``: the simulator and the load, as commands. Reads options, starts, prints; decides nothing."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
import uvloop
import yaml

from node.rehearsal.errors import RehearsalInputError
from node.rehearsal.simulator.directory import (
    CLIENT,
    SECRET,
    TENANT,
    Directory,
    SmartHost,
    default_directory,
    load_directory,
)
from node.rehearsal.simulator.script import Step, read_steps
from node.rehearsal.simulator.server import NAMES, Ports, Simulator

rehearse_app = typer.Typer(no_args_is_help=True, help="Rehearse against a simulated Microsoft 365.")


@rehearse_app.callback()
def _group() -> None:
    """Rehearse against a simulated Microsoft 365."""


@rehearse_app.command("m365")
def m365(
    directory: Annotated[
        Path | None, typer.Option("--directory", help="Who exists, limits and timing (YAML or JSON).")
    ] = None,
    script: Annotated[Path | None, typer.Option(help="Scripted faults (YAML or JSON list of steps).")] = None,
    smarthost: Annotated[bool, typer.Option("--smarthost", help="A plain smart host: no login, no limits.")] = False,
    domain: Annotated[str, typer.Option(help="Accepted domain of the built-in tenant.")] = "contoso.com",
    mailbox: Annotated[list[str] | None, typer.Option(help="Service mailbox; may be repeated.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    smtp_port: Annotated[int, typer.Option(help="0: let the system choose.")] = 0,
    entra_port: Annotated[int, typer.Option(help="0: let the system choose.")] = 0,
    control_port: Annotated[int, typer.Option(help="0: let the system choose.")] = 0,
    tls: Annotated[Path | None, typer.Option(help="Directory for ca.pem, server.pem and server.key.")] = None,
    name: Annotated[list[str] | None, typer.Option(help="Further name in the certificate; may be repeated.")] = None,
    latency: Annotated[str | None, typer.Option(help="Median time to answer the final dot, such as 600ms.")] = None,
    time_scale: Annotated[float | None, typer.Option(help="Divide the service's waits by this.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep every message as .eml under this directory.")] = None,
    stats: Annotated[Path | None, typer.Option(help="Write statistics and deliveries here at exit.")] = None,
) -> None:
    """Run the simulated Exchange Online and Entra until interrupted; the first line printed is JSON with the ports."""
    try:
        chosen = _directory(directory, domain, tuple(mailbox or ("relay1", "relay2")), smarthost=smarthost)
        chosen = _timed(chosen, latency, time_scale)
        steps = _steps(script)
    except RehearsalInputError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    simulator = Simulator(
        chosen,
        ports=Ports(host=host, smtp=smtp_port, entra=entra_port, control=control_port),
        tls_directory=tls,
        names=(*NAMES, *(name or ())),
        keep=keep,
        steps=steps,
    )
    uvloop.run(_serve(simulator, stats))


async def _serve(simulator: Simulator, stats: Path | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with simulator:
        ready = {**simulator.ready(), "tenant": TENANT, "client": CLIENT, "pid": os.getpid()}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await stop.wait()
    if stats is not None:
        stats.write_bytes(simulator.report())


def _directory(path: Path | None, domain: str, mailboxes: tuple[str, ...], *, smarthost: bool) -> Directory:
    if path is not None:
        return load_directory(path)
    if smarthost:
        return Directory(smarthost=SmartHost())
    return default_directory(domain, mailboxes, secret=os.environ.get("REHEARSAL_SECRET", SECRET))


def _timed(directory: Directory, latency: str | None, time_scale: float | None) -> Directory:
    changes = {"latency": latency, "time_scale": time_scale}
    given = {name: value for name, value in changes.items() if value is not None}
    if not given:
        return directory
    timing = {**directory.timing.model_dump(), **given}
    return Directory.model_validate({**directory.model_dump(), "timing": timing})


def _steps(path: Path | None) -> tuple[Step, ...]:
    if path is None:
        return ()
    try:
        return read_steps(yaml.safe_load(path.read_text("utf-8")), str(path))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RehearsalInputError(f"{path}: cannot be read: {error}") from error
