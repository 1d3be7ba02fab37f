"""Reads what relay-coordinator needs out of the one configuration file of a host; every fault of it at once.

The same file as the node's: keys that are not for the coordinator are passed over, since the node checks them, and a
mistake among them must not keep an address from being held.
"""

import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field

from coordinator.pki import Pki, PkiUnusable
from coordinator.settings.base import FilePath, Name, Part
from coordinator.settings.checks import check_addresses, check_cluster
from coordinator.settings.cluster import RUNTIME, Cluster, CoordinatorPart, VirtualAddress
from coordinator.settings.errors import BadSettings
from coordinator.settings.hashing import coordination_hash
from coordinator.settings.places import KeyPath, Report
from coordinator.settings.secrets import read_secret
from coordinator.settings.shape import validate
from coordinator.settings.sources import Source, read_source
from coordinator.settings.yamltree import read_yaml


class _Telemetry(Part):
    model_config = ConfigDict(extra="ignore")

    log_level: Literal["debug", "info", "warning", "error"] = "info"


class _Own(Part):
    """The coordinator's share of the file."""

    model_config = ConfigDict(extra="ignore")

    cluster: Cluster
    virtual_addresses: dict[Name, VirtualAddress] = Field(default_factory=dict)
    runtime: FilePath = RUNTIME
    coordinator: CoordinatorPart = CoordinatorPart()
    hostname: str | None = None
    telemetry: _Telemetry = _Telemetry()


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorSettings:
    """What a coordinator is told, fit for use."""

    node: str
    """Name of this node: by ``--node``, else by host name."""
    cluster: Cluster
    virtual_addresses: Mapping[str, VirtualAddress]
    runtime: Path
    own: CoordinatorPart
    """What only this process reads: where it keeps its state, where its metrics are asked for."""
    hostname: str | None
    log_level: str
    config_hash: str
    """Of what all coordinators must agree on (``hashing.py``)."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where the file is read."""

    node_name: str | None = None
    host: str = field(default_factory=socket.gethostname)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


@dataclass(frozen=True, slots=True)
class _Notes:
    """Findings, unless they may only follow from another one inside the same part."""

    report: Report

    def fault(self, path: KeyPath, text: str) -> None:
        if not self.report.damaged(path):
            self.report.fault(path, text)

    def warn(self, path: KeyPath, text: str) -> None:
        if not self.report.damaged(path):
            self.report.warn(path, text)


def load(path: Path, node_name: str | None = None) -> CoordinatorSettings:
    """Read the configuration at *path* on the machine that runs it.

    Raises BadSettings carrying every fault of the coordinator's parts, each as ``file:line:column: key.path: what``.
    """
    return read(read_source(path), base=path.absolute().parent, machine=Machine(node_name=node_name))


def read(source: Source, *, base: Path, machine: Machine) -> CoordinatorSettings:
    """Read a configuration whose text is at hand."""
    tree = read_yaml(source.text, source.name)
    report = Report(places=tree.places, order={source.name: 0})
    report.faults.extend(tree.faults)
    if not isinstance(tree.data, dict):
        if not tree.faults:
            report.fault((), "the file is empty" if tree.data is None else "expected keys such as cluster:")
        raise BadSettings(report.lines(report.faults))
    if tree.data.get("cluster") is None:
        report.fault((), "cluster is missing: a single node coordinates itself and needs no coordinator")
        raise BadSettings(report.lines(report.faults))
    own = validate(_Own, tree.data, report, base=base, keys_at=_keys_at)
    node = node_of(own.cluster.nodes if own else (), told=machine.node_name, host=machine.host)
    if own is not None:
        _check(_Notes(report), own, node, machine)
    if report.faults or own is None:
        raise BadSettings(report.lines(report.faults))
    return CoordinatorSettings(
        node=node,
        cluster=own.cluster,
        virtual_addresses=own.virtual_addresses,
        runtime=own.runtime,
        own=own.coordinator,
        hostname=own.hostname,
        log_level=own.telemetry.log_level,
        config_hash=coordination_hash(own.cluster, own.virtual_addresses),
        warnings=tuple(report.lines(report.warnings)),
    )


def node_of(names: Iterable[str], *, told: str | None, host: str) -> str:
    """Name this node: as told, else the one of *names* that is this host's name, else the host's short name."""
    if told:
        return told
    known, short = set(names), host.partition(".")[0]
    return next((name for name in (host, short) if name in known), short)


def no_such_node(cluster: Cluster, node: str, *, told: bool) -> str:
    """Say that *node* is none of the cluster's; empty when it is."""
    hint = "" if told else " (its host name); say --node"
    return "" if node in cluster.nodes else f"{node}{hint} is none of the nodes: {', '.join(cluster.nodes)}"


def _check(notes: _Notes, own: _Own, node: str, machine: Machine) -> None:
    if stranger := no_such_node(own.cluster, node, told=machine.node_name is not None):
        notes.fault(("cluster", "nodes"), stranger)
    check_cluster(notes, own.cluster)
    check_addresses(notes, own.cluster, own.virtual_addresses)
    for name, one in own.virtual_addresses.items():
        if one.driver == "hook" and one.hook is not None and not one.hook.is_file():
            notes.fault(("virtual_addresses", name, "hook"), f"{one.hook} is no file")
    try:
        Pki(own.cluster.pki).check(own.cluster.name, node if node in own.cluster.nodes else None)
    except PkiUnusable as error:
        notes.fault(("cluster", "pki"), str(error))
    if own.cluster.login is not None:
        try:
            read_secret(own.cluster.login.password, machine.environment)
        except BadSettings as error:
            notes.fault(("cluster", "login", "password"), "; ".join(error.faults))


def _keys_at(path: KeyPath) -> tuple[str, ...]:
    """Give the keys of the model's part at *path*, empty where names are free."""
    kinds: list[Any] = [_Own]
    for part in path:
        kinds = [inner for kind in kinds for inner in _below(kind, part)]
    return tuple(sorted({key for kind in kinds if _is_part(kind) for key in kind.model_fields}))


def _below(kind: Any, part: str | int) -> list[Any]:
    if _is_part(kind):
        return _plain(kind.model_fields[part].annotation) if part in kind.model_fields else []
    return _plain(get_args(kind)[-1]) if get_origin(kind) is dict else []


def _plain(annotation: Any) -> list[Any]:
    """Take choices and annotations apart."""
    if get_origin(annotation) in (Union, UnionType):
        return [kind for choice in get_args(annotation) for kind in _plain(choice)]
    return _plain(get_args(annotation)[0]) if get_origin(annotation) is Annotated else [annotation]


def _is_part(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
