"""Hosts around a router that lets nothing pass between two of them when told: paths are cut one by one, silently.

Each host is a network namespace with one link to the router; a rule there swallows what goes from one address to
another, as a dead line would, while both hosts see their links up. All is removed at the end.
"""

import itertools
import os
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tests.failover.lan import end_all, sh, sweep
from tests.failover.watcher import enter

ROUTER: Final = "10.9.0.1"
PREFERENCE: Final = "100"
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Line:
    """The way between two hosts, in both directions."""

    one: str
    other: str

    @property
    def ends(self) -> frozenset[str]:
        return frozenset((self.one, self.other))


class Star:
    """``with Star({"a": "10.9.0.11", …}) as star``: ``star.space(host)`` names its namespace."""

    def __init__(self, addresses: Mapping[str, str]):
        # The name is one that ``failover.lan.sweep`` knows: what an interrupted run leaves is removed by the next.
        self._tag = f"fo{os.getpid()}-s{next(_numbers)}"
        self.addresses = dict(addresses)
        self.router = f"{self._tag}r"
        self._cuts: Counter[frozenset[str]] = Counter()

    def __enter__(self) -> Self:
        sweep()
        try:
            sh("ip", "netns", "add", self.router)
            sh("ip", "netns", "exec", self.router, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
            for number, host in enumerate(self.addresses):
                self._join(host, f"p{number}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for name in (*map(self.space, self.addresses), self.router):
            if Path("/run/netns", name).exists():
                end_all(name)
                subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)

    def space(self, host: str) -> str:
        """Name the namespace of a host."""
        return f"{self._tag}{host}"

    def _join(self, host: str, port: str) -> None:
        name, address = self.space(host), self.addresses[host]
        sh("ip", "netns", "add", name)
        sh("ip", "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", port, "netns", self.router)
        sh("ip", "-n", name, "link", "set", "lo", "up")
        sh("ip", "-n", name, "link", "set", "eth0", "up")
        sh("ip", "-n", name, "addr", "add", f"{address}/32", "dev", "eth0")
        sh("ip", "-n", name, "route", "add", ROUTER, "dev", "eth0")
        sh("ip", "-n", name, "route", "add", "default", "via", ROUTER)
        sh("ip", "-n", self.router, "link", "set", port, "up")
        sh("ip", "-n", self.router, "addr", "add", f"{ROUTER}/32", "dev", port)
        sh("ip", "-n", self.router, "route", "add", f"{address}/32", "dev", port)

    def cut(self, line: Line, *, off: bool) -> None:
        """Let nothing pass on a path any more, or again; cut twice it must be mended twice."""
        before, after = self._cuts[line.ends], self._cuts[line.ends] + (1 if off else -1)
        self._cuts[line.ends] = after
        if bool(before) == bool(after):
            return
        one, other = self.addresses[line.one], self.addresses[line.other]
        for here, there in ((one, other), (other, one)):
            words = ("from", here, "to", there, "blackhole", "pref", PREFERENCE)
            sh("ip", "-n", self.router, "rule", "add" if off else "del", *words)

    @contextmanager
    def inside(self, host: str) -> Iterator[None]:
        """Sockets this thread opens meanwhile belong to a host, and stay there."""
        with Path(f"/proc/self/task/{threading.get_native_id()}/ns/net").open() as home:
            enter(Path("/run/netns", self.space(host)))
            try:
                yield
            finally:
                enter(Path(f"/proc/self/fd/{home.fileno()}"))
