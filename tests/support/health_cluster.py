"""Nodes that share standings and wishes over one store: real sessions, watches and signatures, no mail."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from coordinator.feed import Feed
from coordinator.keys import Keys, Role
from coordinator.members import MemberRecord
from coordinator.runner import Self, SessionRunner
from coordinator.runtime import HeldLease
from coordinator.session import Phase
from coordinator.timing import FAST
from coordinator.versions.keeper import VersionKeeper
from coordinator.versions.memory import LevelMemory
from coordinator.versions.release import RELEASE, Release
from node.cluster.probe_rights import Surroundings
from node.cluster.shared_health import SharedHealth
from node.cluster.wished_parks import ParkHooks, WishedParks
from node.cluster.wishes import Wishes
from node.policy.classify import Classifier
from node.policy.health import Change, HealthBook
from node.policy.reply import Reply, Stage, reply_from
from node.policy.route import Way
from tests.support.wishes import CLUSTER, NOW_MS, signer, verifier

KEYS = Keys(cluster=CLUSTER)
FROM = "app@contoso.com"
CLASSIFIER = Classifier()
DELIVERED = CLASSIFIER.classify("submission", Stage.DOT, Reply(code=250))
LOGIN = CLASSIFIER.classify("submission", Stage.AUTH, reply_from(535, "5.7.3 Authentication unsuccessful"))
DENIED = CLASSIFIER.classify(
    "submission", Stage.DOT, reply_from(554, "5.2.252 SendAsDenied; a not allowed to send as b")
)
LOST = CLASSIFIER.classify("submission", Stage.CONNECT, Reply(code=0, text="timeout"))


def way(name="relay1"):
    return Way(path="submission", tenant="contoso", account=f"contoso/{name}@contoso.com")


@dataclass
class SharedNode:
    """One node's part; ``note`` is an attempt's outcome, ``may`` asks whether one may start."""

    name: str
    site: str
    store: object
    home: Path
    now_ms: object
    tasks: list = field(default_factory=list)
    reported: list[Change] = field(default_factory=list)
    resumed: list[tuple] = field(default_factory=list)
    woken: int = 0
    fallback: bool = False
    release: Release = RELEASE
    epoch_ms: int = NOW_MS
    """What the wall clock shows at 0 of ``now_ms``."""

    def wall_ms(self):
        return self.epoch_ms + self.now_ms()

    def start(self, book: HealthBook | None = None) -> "SharedNode":
        self.home.mkdir(parents=True, exist_ok=True)
        self.held = HeldLease(self.home / "lease", "boot")
        me = Self(
            key=KEYS.member(Role.NODE, self.name),
            record=MemberRecord(
                node=self.name, boot_id="boot", process_id="p", version=self.release.version, levels=self.release.span
            ),
            held=self.held,
            progress_ms=self.now_ms,
        )
        self.session = SessionRunner(self.store, FAST, me, now_ms=self.now_ms)
        memory = LevelMemory(self.home / "members.level")
        self.versions = VersionKeeper(self.store, KEYS, self.release, memory, node=self.name)
        self.session.admission = lambda: self.versions.admission(timeout_s=1.0)
        self.feed = Feed(self.store, KEYS)
        self.book = book or HealthBook(self.site)
        self.shared = SharedHealth(
            self.book,
            self.session,
            KEYS,
            Surroundings(
                node=self.name,
                wall_ms=self.wall_ms,
                now_ms=self.now_ms,
                report=self.reported.append,
                wake=self._wake,
                freely=lambda: self.fallback,
            ),
        )
        self.wishes = Wishes(
            self.store, KEYS, lambda: signer(self.name), verifier("node-a", "node-b", "node-c").verify,
            node=self.name, floors=self.home / "wishes.json", wall_ms=self.wall_ms,
        )  # fmt: skip
        self.parks = WishedParks(
            self.book,
            self.wishes,
            ParkHooks(
                wall_ms=self.wall_ms,
                tenants=lambda: ("contoso",),
                report=self.reported.append,
                settle=self.shared.settle,
                resumed=lambda *about: self.resumed.append(about),
            ),
        )
        self.shared.follow(self.feed)
        self.wishes.follow(self.feed)
        runs = (self.session.run(), self.feed.run(), self.shared.run(), self.parks.run())
        self.tasks = [asyncio.ensure_future(run) for run in runs]
        return self

    def _wake(self) -> None:
        self.woken += 1

    def note(self, which, verdict, times=1):
        for _ in range(times):
            for change in self.book.note(which, FROM, verdict, self.wall_ms()):
                self.shared.changed(change)

    def begin(self, which):
        for change in self.book.begin(which, FROM, self.wall_ms()):
            self.shared.changed(change)

    def may(self, which):
        return self.book.available(which, FROM, self.wall_ms())

    async def joined(self):
        await until(lambda: self.session.session.phase is Phase.LIVE and self.feed.revision)

    async def vanish(self):
        """Stop as a killed process does: nothing is resigned."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        if self.tasks:
            self.held.close()
        self.tasks = []


async def until(condition, bound_s=60.0):
    """Wait for a condition, in virtual or in real time."""
    async with asyncio.timeout(bound_s):
        while not condition():  # noqa: ASYNC110 - conditions of any kind
            await asyncio.sleep(0.02)


async def three(store, home, now_ms, sites=("dc1", "dc1", "dc2")):
    nodes = [
        SharedNode(name=name, site=site, store=store, home=home / name, now_ms=now_ms).start()
        for name, site in zip(("node-a", "node-b", "node-c"), sites, strict=True)
    ]
    for node in nodes:
        await node.joined()
    return nodes
