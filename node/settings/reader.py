"""From files to one frozen tree: joins the parts, tells every fault at once with its place; decides nothing.

The main file may use the short form ``tenant``; client files each hold a map of clients. Everything found wrong, in
whichever file, is reported by one ConfigurationError.
"""

import hashlib
import json
import os
import re
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from coordinator.settings import reader
from coordinator.settings.hashing import HOSTS_OWN, coordination_hash
from coordinator.settings.shape import validate
from node.errors import ConfigurationError
from node.settings.checks import run_checks
from node.settings.checks.scene import Scene
from node.settings.model import Settings
from node.settings.places import Finding, KeyPath, Place, Report
from node.settings.schema import keys_at
from node.settings.sources import Source, client_files, read_source
from node.settings.yamltree import Tree, read_yaml

NODES_OWN: Final[dict[str, Any]] = {
    **dict.fromkeys(("spool", "runtime", "hostname", "intake", "coordinator"), True),
    "listeners": {"__all__": {"address"}},
    **HOSTS_OWN,
}
"""What may differ between the nodes of one cluster, left out of the cluster's hash (operations M5): where files lie,
and which of a host's addresses a listener binds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A configuration fit for use."""

    settings: Settings
    warnings: list[str]
    text_hash: str
    """SHA-256 over the texts read; changes with every edit."""
    cluster_hash: str
    """SHA-256 over the meaning, without defaults and the node's own part; equal on all nodes of a cluster."""
    node: str
    """Name of this node: by ``--node``, else by host name."""
    coordination_hash: str = ""
    """What the coordinator beside this node publishes when it runs on the same files; empty without a cluster."""
    written: frozenset[KeyPath] = field(default_factory=frozenset)
    """Every key path that stands in a file; the others are defaults."""

    @property
    def site(self) -> str:
        """Data centre this node stands in; empty without a cluster."""
        cluster = self.settings.cluster
        about = cluster.nodes.get(self.node) if cluster is not None else None
        return about.site if about is not None else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The machine a configuration is read on."""

    node_name: str | None = None
    host: str = field(default_factory=socket.gethostname)
    here: bool = True
    """This machine is to run it: files, secrets and the node's name must be there. False: only read and compare."""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


def load(path: Path, *, node_name: str | None = None, host: str | None = None, here: bool = True) -> Loaded:
    """Read the configuration at *path* with its client files.

    *here* False reads it on a machine that is no node of it: other files are not looked at. Raises
    ConfigurationError carrying every fault, each as ``file:line:column: key.path: what is wrong``.
    """
    around = Surroundings(node_name=node_name, host=host or socket.gethostname(), here=here)
    return read(read_source(path), base=path.absolute().parent, around=around)


def read(main: Source, *, base: Path, around: Surroundings, extra: Sequence[Source] = ()) -> Loaded:
    """Read a configuration whose main text is at hand; *extra* are client files not yet on disk."""
    tree = read_yaml(main.text, main.name)
    sources = [main, *_client_sources(tree, base=base, around=around), *extra]
    report = Report(places=tree.places, order={source.name: rank for rank, source in enumerate(sources)})
    report.faults.extend(tree.faults)
    data = _joined(tree, sources[1:], report)
    if data is None:
        raise ConfigurationError(report.lines(report.faults))
    settings = validate(Settings, data, report, base=base, keys_at=keys_at)
    node = node_of(settings, around) if settings else ""
    if settings is not None:
        run_checks(_scene(settings, data, report, around, node))
    if report.faults or settings is None:
        raise ConfigurationError(report.lines(report.faults))
    return Loaded(
        settings=settings,
        warnings=report.lines(report.warnings),
        text_hash=_text_hash(sources),
        cluster_hash=cluster_hash(settings),
        coordination_hash=_coordination_hash(settings),
        node=node,
        written=frozenset(report.places),
    )


def node_of(settings: Settings, around: Surroundings) -> str:
    """Name this node: as told, else the cluster's node that bears this host's name, else the host's short name."""
    names = settings.cluster.nodes if settings.cluster else ()
    return reader.node_of(names, told=around.node_name, host=around.host)


def cluster_hash(settings: Settings) -> str:
    """Hash what all nodes must agree on; keys left at their default do not count, so adding one changes nothing."""
    shared = settings.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=NODES_OWN)
    return hashlib.sha256(json.dumps(shared, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _coordination_hash(settings: Settings) -> str:
    return coordination_hash(settings.cluster, settings.virtual_addresses) if settings.cluster else ""


def _text_hash(sources: Sequence[Source]) -> str:
    digest = hashlib.sha256()
    for source in sources:
        digest.update(f"{source.name}\0{len(source.text)}\0{source.text}".encode(errors="surrogatepass"))
    return digest.hexdigest()


def _scene(settings: Settings, data: dict[str, Any], report: Report, around: Surroundings, node: str) -> Scene:
    return Scene(
        settings=settings,
        report=report,
        here=around.here,
        now=around.now,
        environment=around.environment,
        node=node,
        node_told=around.node_name is not None,
        plans=frozenset(_keys(data, "plans")),
        tenants_complete=_keys(data, "tenants") == set(settings.tenants),
    )


def _keys(data: dict[str, Any], key: str) -> set[str]:
    part = data.get(key)
    return set(part) if isinstance(part, dict) else set()


def _client_sources(tree: Tree, *, base: Path, around: Surroundings) -> list[Source]:
    """Read the files of ``clients_from``; what goes wrong is noted in the main tree."""
    named = tree.data.get("clients_from") if isinstance(tree.data, dict) else None
    if not isinstance(named, str):
        return []
    found: list[Source] = []
    try:
        paths = client_files(base / named)
    except ConfigurationError as error:
        if around.here:
            tree.faults.append(_at(tree, ("clients_from",), error.faults[0]))
        return []
    for path in paths:
        try:
            found.append(read_source(path))
        except ConfigurationError as error:
            tree.faults.append(_at(tree, ("clients_from",), error.faults[0]))
    return found


def _at(tree: Tree, path: KeyPath, text: str) -> Finding:
    return Finding(place=tree.places[path], path=path, text=text)


def _joined(tree: Tree, client_sources: Sequence[Source], report: Report) -> dict[str, Any] | None:
    """Put the short form and the client files in their places; None when there is nothing to go on with."""
    if tree.data is None or not isinstance(tree.data, dict):
        if not tree.faults:
            report.fault((), "the file is empty" if tree.data is None else "expected keys such as tenant: and clients:")
        return None
    data = _unfolded(tree.data, report)
    clients = data.setdefault("clients", {}) if client_sources else None
    for source in client_sources:
        _add_clients(read_yaml(source.text, source.name), clients, report, Place(source.name))
    return data


def _unfolded(data: dict[str, Any], report: Report) -> dict[str, Any]:
    """Turn ``tenant`` into ``tenants`` with one entry named by the first label of its first domain."""
    if "tenant" not in data:
        return data
    if "tenants" in data:
        report.fault(("tenant",), "give tenant (short form for one) or tenants, not both")
        return {key: value for key, value in data.items() if key != "tenant"}
    tenant = data["tenant"]
    name = "tenant"
    with suppress(TypeError, KeyError, IndexError, AttributeError):
        label = tenant["domains"][0].partition(".")[0].lower()
        name = label if re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", label) else name
    report.fold(("tenant",), ("tenants", name))
    return {**{key: value for key, value in data.items() if key != "tenant"}, "tenants": {name: tenant}}


def _add_clients(tree: Tree, clients: Any, report: Report, whole: Place) -> None:
    """Add one client file; a name given before is a fault that tells where."""
    report.faults.extend(tree.faults)
    if tree.data is None:
        return
    if not isinstance(tree.data, dict):
        report.faults.append(Finding(place=whole, path=(), text="expected a map of clients (name: {networks: …})"))
        return
    if not isinstance(clients, dict):
        return
    taken = {name for name in tree.data if name in clients}
    for name in taken:
        first = report.place_of(("clients", name))
        text = f"this client is given twice; the first is at {first}"
        report.faults.append(Finding(place=tree.places[name,], path=("clients", name), text=text))
    clients.update({name: client for name, client in tree.data.items() if name not in taken})
    own = {path: place for path, place in tree.places.items() if path and path[0] not in taken}
    report.adopt(own, (), ("clients",))
