"""Takes a process into its cluster: the store, its session, the one watch, and what must survive a restart.

Both processes of a host do this, each under its own role and with its own session (coordination-review §7).
"""

import asyncio
import os
import ssl
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from coordinator.errors import UnfitVersion
from coordinator.feed import POLL_S, Feed
from coordinator.keys import Keys
from coordinator.members import MemberRecord
from coordinator.pki import Pki, PkiUnusable
from coordinator.runner import Self, SessionRunner, boottime_ms
from coordinator.runtime import HeldLease, KnownCluster, boot_id
from coordinator.settings.cluster import Cluster, timing_of
from coordinator.settings.endpoints import Endpoint
from coordinator.settings.errors import BadSettings
from coordinator.settings.secrets import read_secret
from coordinator.store.channel import Credentials
from coordinator.store.contract import StoreError
from coordinator.store.etcd import EtcdStore
from coordinator.versions.keeper import VersionKeeper
from coordinator.versions.memory import LevelMemory
from coordinator.versions.release import RELEASE, Release

CREDENTIALS_S: Final = 5.0
"""How often certificates and password are looked at for a change."""


@dataclass(slots=True, kw_only=True)
class Joined:
    """A process's place in the cluster; ``run`` takes and keeps it, ``close`` gives it back."""

    store: EtcdStore
    keys: Keys
    session: SessionRunner
    feed: Feed
    versions: VersionKeeper
    held: HeldLease
    record: MemberRecord
    credentials: Callable[[], Credentials]
    """Reads them anew; raises PkiUnusable or BadSettings."""
    alarm: Callable[[str], None]
    used: Credentials
    _complaint: str = field(default="", init=False)

    async def run(self) -> None:
        """Hold the session and follow the watch until cancelled; what ends one ends the other.

        Raises UnfitVersion when the cluster has come to a level this version does not know.
        """
        unsubscribe = self.feed.subscribe(self.versions.feed)
        try:
            async with asyncio.TaskGroup() as together:
                for work in (self.session.run(), self.feed.run(), self._remember(), self._renew_credentials()):
                    together.create_task(_lasting(work))
        except BaseExceptionGroup as group:
            unfit = group.subgroup(UnfitVersion)
            if unfit is None:
                raise
            raise UnfitVersion(str(unfit.exceptions[0])) from None
        finally:
            unsubscribe()

    async def close(self, *, timeout_s: float) -> None:
        """Resign if the store answers in time, else leave the lease to its end or the next life; then close all.

        Whatever was held by the session must have been given up before, and ``run`` have ended.
        """
        try:
            with suppress(StoreError, TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self.session.resign()
        finally:
            await self.store.close()
            self.held.close()

    async def _remember(self) -> None:
        """Note how far the store has come, whatever the disk does."""
        while True:
            try:
                await self.session.remember()
            except OSError as error:
                self.alarm(f"what is known of the store cannot be written down: {error}")
                await asyncio.sleep(CREDENTIALS_S)

    async def _renew_credentials(self) -> None:
        while True:
            await asyncio.sleep(CREDENTIALS_S)
            try:
                found = self.credentials()
            except (PkiUnusable, BadSettings) as error:
                self._complain(f"{error}; what was read before stays in use towards etcd")
                continue
            self._complaint = ""
            if found != self.used:
                self.used = found
                await self.store.use(found)

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            self._complaint = text
            self.alarm(text)


def join(
    cluster: Cluster,
    *,
    node: str,
    role: str,
    runtime: Path,
    state: Path,
    config_hash: str = "",
    release: Release = RELEASE,
    schemas: tuple[int, int] = (0, 0),
    progress_ms: Callable[[], int] = boottime_ms,
    poll_s: float = POLL_S,
    environment: Mapping[str, str] = os.environ,
    alarm: Callable[[str], None] = lambda _: None,
) -> Joined:
    """Prepare to join as *node*'s process of *role* (``keys.Role``); nothing is asked of etcd before ``run``.

    *runtime* gets ``<role>.lease``, *state* ``<role>.known`` and ``<role>.level``. *release*: which version joins;
    *schemas*: of its disk, see MemberRecord. *progress_ms* tells when the work the session stands for last moved.
    Raises AlreadyRunning beside a living process, ForeignCluster when *state* cannot be read, PkiUnusable or
    BadSettings when there is nothing to show to etcd; OSError when a directory cannot be made.
    """
    credentials = _reader(cluster, environment)
    used = credentials()
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    known = KnownCluster(state / f"{role}.known")
    boot = boot_id()
    keys = Keys(cluster=cluster.name, prefix=cluster.prefix)
    member = cluster.nodes.get(node)
    record = MemberRecord(
        node=node,
        boot_id=boot,
        process_id=uuid4().hex,
        site=member.site if member else "",
        config_hash=config_hash,
        address=str(member.address) if member else "",
        version=release.version,
        levels=release.span,
        protocols=release.protocols,
        schemas=schemas,
    )
    held = HeldLease(runtime / f"{role}.lease", boot)
    store = EtcdStore([endpoint.target for endpoint in nearest_first(cluster, node)], used)
    me = Self(key=keys.member(role, node), record=record, held=held, known=known, progress_ms=progress_ms)
    session, timeout_s = SessionRunner(store, timing_of(cluster), me), timing_of(cluster).timeout_ms / 1_000
    versions = VersionKeeper(store, keys, release, LevelMemory(state / f"{role}.level"), node=node, alarm=alarm)
    session.admission = lambda: versions.admission(timeout_s=timeout_s)
    return Joined(
        store=store,
        keys=keys,
        session=session,
        versions=versions,
        feed=Feed(store, keys, poll_s=poll_s),
        held=held,
        record=record,
        credentials=credentials,
        alarm=alarm,
        used=used,
    )


def store_of(cluster: Cluster, node: str, environment: Mapping[str, str] = os.environ) -> EtcdStore:
    """Give the cluster's etcd as *node* sees it, for work that takes no session. Raises PkiUnusable, BadSettings."""
    return EtcdStore([each.target for each in nearest_first(cluster, node)], _reader(cluster, environment)())


def nearest_first(cluster: Cluster, node: str) -> list[Endpoint]:
    """Order etcd's members for one node: the one on its own host, then each node from another on.

    If all asked the same member first, a host lost with that member would hold up just those that are to take over.
    """
    member, names = cluster.nodes.get(node), sorted(cluster.nodes)
    first = names.index(node) % len(cluster.endpoints) if member else 0
    turned = [*cluster.endpoints[first:], *cluster.endpoints[:first]]
    own = str(member.address) if member else ""
    return sorted(turned, key=lambda endpoint: endpoint.host != own)


async def _lasting(work: Coroutine[Any, Any, None]) -> None:
    """Do work that only a cancellation of ours may end: a task group passes over one cancelled by something else."""
    try:
        await work
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
    raise RuntimeError("the session or the watch ended by itself")


def _reader(cluster: Cluster, environment: Mapping[str, str]) -> Callable[[], Credentials]:
    """Make what reads the credentials: the certificate unless etcd is on this machine, the user if one is named."""
    pki, login = Pki(cluster.pki), cluster.login

    def read() -> Credentials:
        user = login.user if login else ""
        password = read_secret(login.password, environment).reveal() if login else ""
        if cluster.plain_etcd:
            return Credentials(user=user, password=password)
        pki.context(ssl.PROTOCOL_TLS_CLIENT)  # refuses files that do not fit; grpc would only fail later
        pem = pki.read()
        return Credentials(ca=pem.ca, certificate=pem.certificate, key=pem.key, user=user, password=password)

    return read
