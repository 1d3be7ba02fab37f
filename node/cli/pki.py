"""``relayctl pki``: the cluster's own certificates, for whoever has no authority that could make them."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from node.cli.common import console, styled, told
from node.cli.output import read_config
from node.errors import ConfigurationError
from node.tls.cluster_ca import NODE_DAYS, ClusterAuthority

pki_app = typer.Typer(help="Certificates of the cluster's nodes.", no_args_is_help=True)


@pki_app.command("make")
@told
def make(
    directory: Annotated[Path, typer.Argument(help="Where the authority is kept; each node's files go below it.")],
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Configuration naming cluster and nodes.")
    ] = None,
    cluster: Annotated[str, typer.Option("--cluster", help="Cluster, without a configuration.")] = "",
    node: Annotated[
        list[str] | None, typer.Option("--node", help="NAME=ADDRESS, or NAME alone out of --config.")
    ] = None,
) -> None:
    """Make the authority once and a certificate for each node; run again, it makes new ones from the same authority."""
    name, nodes = _wanted(config, cluster, node or [])
    authority = ClusterAuthority.read(directory, name) if (directory / "ca.key").exists() else None
    if authority is None:
        authority = ClusterAuthority.create(name)
        authority.keep(directory)
        console.print(styled(f"{directory}/ca.key: a new authority; keep it off the nodes"))
    for each, address in nodes.items():
        authority.write(directory / each, each, addresses=[address])
        console.print(styled(f"{directory / each}: ca.pem, node.pem, node.key, good for {NODE_DAYS} days"))


def _wanted(config: Path | None, cluster: str, wanted: list[str]) -> tuple[str, dict[str, str]]:
    """Say which cluster and which nodes are meant. Raises ConfigurationError."""
    known: dict[str, str] = {}
    if config is not None:
        settings = read_config(config).settings
        if settings.cluster is None:
            raise ConfigurationError([f"{config}: names no cluster"])
        cluster = settings.cluster.name
        known = {name: str(about.address) for name, about in settings.cluster.nodes.items()}
    if not cluster:
        raise ConfigurationError(["say --config FILE, or --cluster NAME with --node NAME=ADDRESS"])
    named = {}
    for text in wanted:
        name, _, address = text.partition("=")
        named[name] = address or known.get(name, "")
    nodes = named or known
    faults = [f"--node {name}: no address" for name, address in nodes.items() if not address]
    faults += [f"--node {name}: {address} is no address" for name, address in nodes.items() if not _is_address(address)]
    if faults or not nodes:
        raise ConfigurationError(faults or ["no node named"])
    return cluster, nodes


def _is_address(text: str) -> bool:
    try:
        ip_address(text or "::")
    except ValueError:
        return False
    return True
