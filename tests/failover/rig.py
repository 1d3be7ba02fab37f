"""One run of one case: hosts, what serves on them, the client and the watched kernels, a fault, the figures."""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.failover.figures import Attempt, Binding, Change, Service, binding, service
from tests.failover.lan import VIP, Lan, end_all
from tests.failover.processes import Child, wait_for
from tests.failover.watcher import SLOW_S

STEADY_S = 120.0
WATCHING_S = 20.0
WARM_ATTEMPTS = 30
ROOT = Path(__file__).parents[2]
MEMORY = Path("/dev/shm")


class Subject(Protocol):
    """What moves the address, and the service behind it, on all hosts of a Lan."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def said(self) -> str: ...
    def steady(self, held_s: float, holders: list[int]) -> bool: ...
    def kill_service(self, host: int) -> None: ...
    def kill_keeper(self, host: int) -> None: ...
    def start_keeper(self, host: int) -> None: ...
    def freeze(self, host: int) -> None: ...
    def thaw(self, host: int) -> None: ...
    def move(self, host: int, other: int) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one run showed."""

    service: Service
    binding: Binding
    longest_look_s: float
    """Longest time between two looks at a kernel: how fine the overlap is measured."""


class Watch:
    """The watcher process, read while it writes."""

    def __init__(self, home: Path, lan: Lan, notes: Path | None = None):
        self._file = (notes or home) / "changes"
        command = [sys.executable, "-m", "tests.failover.watcher", VIP, str(self._file), *lan.hosts]
        # Started in the client's namespace; it enters each host's by itself.
        self.child = Child(lan.client, command, home / "watcher.log", PYTHONPATH=str(ROOT))

    def start(self) -> None:
        """Start it; it looks when this returns."""
        self.child.start()
        wait_for("the watcher to look", self._file.exists, WATCHING_S)

    def lines(self) -> list[dict]:
        text = self._file.read_text() if self._file.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def changes(self) -> list[Change]:
        return [Change(**line) for line in self.lines() if "host" in line]

    def holders(self) -> tuple[list[int], float]:
        """Who has the address now, and for how long nothing has changed."""
        changes = self.changes()
        last = {change.host: change.bound for change in changes}
        since = changes[-1].at if changes else time.monotonic()
        return [host for host, bound in last.items() if bound], time.monotonic() - since

    def close(self) -> None:
        self.child.kill()

    def end(self, since: float) -> float:
        """End it; the longest time between two looks since then (10 ms if none was longer)."""
        self.child.stop()
        lines = self.lines()
        assert "ended" in lines[-1], f"the watcher broke off: {self.child.said()}"
        return max([line["slow_s"] for line in lines if line.get("until", 0.0) > since], default=SLOW_S)


class Client:
    """The prober process."""

    def __init__(self, home: Path, lan: Lan, notes: Path | None = None):
        self._file = (notes or home) / "attempts"
        command = [sys.executable, "-m", "tests.failover.prober", VIP, str(self._file)]
        self.child = Child(lan.client, command, home / "prober.log", PYTHONPATH=str(ROOT))

    def attempts(self) -> list[Attempt]:
        text = self._file.read_text() if self._file.exists() else ""
        lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [Attempt(**{name: line.get(name) for name in ("started", "outcome", "banner")}) for line in lines]

    def warm(self) -> bool:
        last = self.attempts()[-WARM_ATTEMPTS:]
        return len(last) == WARM_ATTEMPTS and all(attempt.prompt for attempt in last)


@dataclass
class Rig:
    """What a case's act may touch."""

    lan: Lan
    subject: Subject
    holder: int = -1
    since: float = 0.0
    dead: dict[int, float] = field(default_factory=dict)

    @property
    def other(self) -> int:
        return (self.holder + 1) % len(self.lan.hosts)

    def fault(self) -> None:
        """The fault comes now: figures count from here."""
        self.since = time.monotonic()

    def wait(self, duration_s: float) -> None:
        time.sleep(duration_s)

    def lose_host(self) -> None:
        """The machine goes, with its link and all it runs."""
        self.lan.link(self.holder, up=False)
        end_all(self.lan.hosts[self.holder])
        self.dead[self.holder] = time.monotonic()


@contextmanager
def noted(home: Path) -> Iterator[Path]:
    """A directory in memory for what client and watcher write (a disk holds up writers); kept below ``home``."""
    with tempfile.TemporaryDirectory(prefix="fo-", dir=MEMORY if MEMORY.is_dir() else None) as notes:
        try:
            yield Path(notes)
        finally:
            shutil.copytree(notes, home / "notes")


@contextmanager
def started(home: Path, notes: Path, make: Callable[[Path, Lan], Subject]) -> Iterator[tuple[Rig, Watch]]:
    """Three hosts that serve, one of them with the address; everything is gone afterwards."""
    with ExitStack() as stack:
        lan = stack.enter_context(Lan())
        subject = make(home, lan)
        stack.callback(subject.stop)
        watch = Watch(home, lan, notes)
        stack.callback(watch.close)
        watch.start()
        subject.start()
        try:
            wait_for("one holder", lambda: subject.steady(*reversed(watch.holders())), STEADY_S)
        except AssertionError as error:
            raise AssertionError(f"{error}; holders {watch.holders()}\n{subject.said()}") from None
        yield Rig(lan, subject, holder=watch.holders()[0][0]), watch


def run(
    home: Path,
    make: Callable[[Path, Lan], Subject],
    act: Callable[[Rig], None],
    watch_s: float,
    prepare: Callable[[Rig], None] = lambda rig: None,
) -> Outcome:
    """Start everything, let the client get going, do the fault, watch, and judge."""
    home.mkdir(parents=True)
    with noted(home) as notes, started(home, notes, make) as (rig, watch), ExitStack() as stack:
        prepare(rig)
        client = Client(home, rig.lan, notes)
        stack.callback(client.child.kill)
        client.child.start()
        wait_for("a client served promptly", client.warm, STEADY_S)
        rig.holder = watch.holders()[0][0]
        act(rig)
        rig.wait(watch_s)
        until = time.monotonic()
        client.child.stop()
        longest = watch.end(rig.since)
        return Outcome(
            service=service(client.attempts(), rig.since, until),
            binding=binding(watch.changes(), rig.since, until, rig.dead),
            longest_look_s=longest,
        )
