"""``rehearse m365``: reads options, starts the simulator, prints where it listens, waits for a signal."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
import yaml

from node.rehearsal.errors import RehearsalInputError
from node.rehearsal.loop import on_stop_signal, run
from node.rehearsal.simulator.directory import (
    CLIENT,
    SECRET,
    TENANT,
    Directory,
    SmartHost,
    default_directory,
    load_directory,
    read_directory,
)
from node.rehearsal.simulator.receipts import Receipt
from node.rehearsal.simulator.script import Step, read_steps
from node.rehearsal.simulator.server import NAMES, Ports, Simulator


def m365(  # noqa: PLR0917 - typer passes every option by name
    directory: Annotated[Path | None, typer.Option(help="Who exists, limits and timing (YAML or JSON).")] = None,
    script: Annotated[Path | None, typer.Option(help="Scripted faults (YAML or JSON list of steps).")] = None,
    smarthost: Annotated[bool, typer.Option("--smarthost", help="A plain smart host: no login, no limits.")] = False,
    domain: Annotated[str, typer.Option(help="Accepted domain of the built-in tenant.")] = "contoso.com",
    mailbox: Annotated[list[str] | None, typer.Option(help="Service mailbox; may be repeated.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    smtp_port: Annotated[int, typer.Option(help="0: let the system choose.")] = 0,
    mx_port: Annotated[int, typer.Option(help="Of the tenants' MX; 0: let the system choose.")] = 0,
    hve_port: Annotated[int, typer.Option(help="Of High Volume Email; 0: let the system choose.")] = 0,
    acs_port: Annotated[int, typer.Option(help="Of Azure Communication Services; 0: let the system choose.")] = 0,
    entra_port: Annotated[int, typer.Option(help="0: let the system choose.")] = 0,
    graph_port: Annotated[int, typer.Option(help="Of Microsoft Graph; 0: let the system choose.")] = 0,
    identity_port: Annotated[int, typer.Option(help="Of the identity endpoint; 0: let the system choose.")] = 0,
    control_port: Annotated[int, typer.Option(help="0: let the system choose.")] = 0,
    tls: Annotated[Path | None, typer.Option(help="Directory for ca.pem, server.pem and server.key.")] = None,
    client_certificate: Annotated[
        list[str] | None, typer.Option(help="Make a client certificate for this name; may be repeated.")
    ] = None,
    name: Annotated[list[str] | None, typer.Option(help="Further name in the certificate; may be repeated.")] = None,
    latency: Annotated[str | None, typer.Option(help="Median time to answer the final dot, such as 600ms.")] = None,
    latency_longest: Annotated[str | None, typer.Option(help="Longest such time, such as 20s.")] = None,
    time_scale: Annotated[float | None, typer.Option(help="Divide the service's waits by this.", min=0.001)] = None,
    over_rate: Annotated[str | None, typer.Option(help="Beyond the rate: refuse, delay or accept.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of delays and lifetimes.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep every message as .eml under this directory.")] = None,
    receipts: Annotated[int, typer.Option(help="Latest receipts kept in full.", min=0)] = 100_000,
    stats: Annotated[Path | None, typer.Option(help="Write statistics and deliveries here at exit.")] = None,
    history: Annotated[Path | None, typer.Option(help="Write every operation here, for `rehearse check`.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print a line for each message.")] = False,
) -> None:
    """Run a simulated Exchange Online and Entra until interrupted; the first line printed is JSON with the ports."""
    timing: dict[str, object] = {"latency": latency, "latency_longest": latency_longest, "time_scale": time_scale}
    try:
        chosen = _directory(directory, domain, tuple(mailbox or ("relay1", "relay2")), smarthost=smarthost)
        chosen = _changed(chosen, {"timing": timing, "limits": {"over_rate": over_rate}}, seed)
        steps = _steps(script)
    except RehearsalInputError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    simulator = Simulator(
        chosen,
        ports=Ports(
            host=host,
            smtp=smtp_port,
            mx=mx_port,
            hve=hve_port,
            acs=acs_port,
            entra=entra_port,
            graph=graph_port,
            identity=identity_port,
            control=control_port,
        ),
        clients=tuple(client_certificate or ()),
        tls_directory=tls,
        names=(*NAMES, *(name or ())),
        keep=keep,
        receipts=receipts,
        steps=steps,
        history=history,
    )
    if verbose:
        simulator.hub.on_receipt = _told(simulator)
    try:
        run(_serve(simulator))
    except OSError as error:
        typer.echo(f"cannot listen or write: {error}", err=True)
        raise typer.Exit(1) from None
    if stats is not None:
        stats.write_bytes(simulator.report())


def _told(simulator: Simulator) -> Callable[[Receipt], None]:
    def taken(receipt: Receipt) -> None:
        typer.echo(receipt.line())
        simulator.post.taken(receipt)

    return taken


async def _serve(simulator: Simulator) -> None:
    stop = asyncio.Event()
    on_stop_signal(stop.set)
    async with simulator:
        ready = {**simulator.ready(), "pid": os.getpid()}
        if TENANT in simulator.hub.directory.tenants:
            ready |= {"tenant": TENANT, "client": CLIENT}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await stop.wait()


def _directory(path: Path | None, domain: str, mailboxes: tuple[str, ...], *, smarthost: bool) -> Directory:
    if path is not None:
        return load_directory(path)
    if smarthost:
        return Directory(smarthost=SmartHost())
    return default_directory(domain, mailboxes, secret=os.environ.get("REHEARSAL_SECRET", SECRET))


def _changed(directory: Directory, changes: dict[str, dict[str, object]], seed: int | None) -> Directory:
    """Lay options over what the file says; checked as the file is."""
    plain = directory.model_dump()
    for part, values in changes.items():
        plain[part] |= {name: value for name, value in values.items() if value is not None}
    if seed is not None:
        plain["seed"] = seed
    return read_directory(plain, "options")


def _steps(path: Path | None) -> tuple[Step, ...]:
    if path is None:
        return ()
    try:
        return read_steps(yaml.safe_load(path.read_text("utf-8")), str(path))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RehearsalInputError(f"{path}: cannot be read: {error}") from error
