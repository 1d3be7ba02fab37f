"""What ``relayctl disaster ledger`` and ``rebuild`` do: a spool, files and etcd, while every node stands still."""

import asyncio
import getpass
import os
import pwd
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from coordinator.errors import CoordinatorError
from coordinator.joining import store_of
from coordinator.keys import Keys, Role
from coordinator.runtime import KnownCluster
from coordinator.settings.cluster import Cluster
from coordinator.settings.errors import BadSettings
from coordinator.store.contract import Indefinite, Store
from node.audit import Audit
from node.cli.remote import UnreachableError, WrongUseError
from node.cluster.contract import SETTLE_HORIZON_MS
from node.cluster.ledgers import BadLedgersError, Ledger, checked, floors, ledger_of
from node.cluster.restoring import Rebuilt
from node.cluster.restoring import rebuild as rebuild_store
from node.delivery.clock import wall_ms
from node.errors import PermanentError
from node.settings.reader import Loaded
from node.spool.past import past_attempts

T = TypeVar("T")
LEDGER_BYTES_MAX = 64 << 20


def ledger_here(loaded: Loaded) -> Ledger:
    """Give this node's ledger. Raises SpoolUnusable while it runs, WrongUseError for another user than its own."""
    spool, now_ms = loaded.settings.spool, wall_ms()
    _as_owner(spool)
    with _ours():
        known = KnownCluster(spool / "kept" / f"{Role.NODE}.known")
    attempts = past_attempts(spool, now_ms)
    return ledger_of(_cluster(loaded).name, loaded.node, attempts, now_ms, revision=known.revision)


def rebuild_from(loaded: Loaded, files: Sequence[Path], lost: Sequence[str], reason: str) -> Rebuilt:
    """Make the cluster's etcd count what the ledgers say. Raises RelayErrors."""
    _as_owner(loaded.settings.spool)
    cluster, now_ms = _cluster(loaded), wall_ms()
    ledgers = [_read(file) for file in files]
    checked(ledgers, cluster.name, list(cluster.nodes), lost, now_ms)
    known = max(ledger.revision for ledger in ledgers)
    keys = Keys(cluster=cluster.name, prefix=cluster.prefix)

    def work(store: Store) -> Coroutine[Any, Any, Rebuilt]:
        return rebuild_store(store, keys, floors(ledgers), known=known, now_ms=now_ms, settle_ms=SETTLE_HORIZON_MS)

    with _ours():
        found = asyncio.run(_with_store(cluster, loaded.node, work))
    facts = {"raised": len(found.raised), "revision": found.revision, "lost": list(lost), "why": reason}
    entry = {"actor": getpass.getuser(), "event": "etcd rebuilt", "facts": facts}
    Audit(loaded.settings.spool / "audit", loaded.node).write(entry)
    return found


async def _with_store(cluster: Cluster, node: str, work: Callable[[Store], Coroutine[Any, Any, T]]) -> T:
    store = store_of(cluster, node)
    try:
        return await work(store)
    finally:
        await store.close()


def _read(file: Path) -> Ledger:
    try:
        if file.stat().st_size > LEDGER_BYTES_MAX:
            raise BadLedgersError(f"{file}: too long for a ledger")
        return msgspec.json.decode(file.read_bytes(), type=Ledger)
    except OSError as error:
        raise WrongUseError(f"{file}: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadLedgersError(f"{file}: is no ledger: {error}") from None


def _cluster(loaded: Loaded) -> Cluster:
    cluster = loaded.settings.cluster
    assert cluster is not None  # noqa: S101 - whoever calls has looked
    return cluster


def _as_owner(spool: Path) -> None:
    """Refuse another user than the spool's: files made in it by root would be in the node's way."""
    with suppress(FileNotFoundError, KeyError):
        owner = spool.stat().st_uid
        if owner != os.geteuid():
            name = pwd.getpwuid(owner).pw_name
            raise WrongUseError(f"{spool} is {name}'s: run this as {name} (runuser -u {name} -- relayctl disaster …)")


@contextmanager
def _ours() -> Iterator[None]:
    """Give coordination's errors as ours; exit code 3 where etcd does not answer."""
    try:
        yield
    except Indefinite as error:
        raise UnreachableError(f"etcd: {error}") from None
    except (CoordinatorError, BadSettings) as error:
        raise PermanentError(str(error)) from None
