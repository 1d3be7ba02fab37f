"""Hosts in network namespaces on one bridge, and a client beside them; links go down, ports are cut, all is removed.

Names carry the process id of whoever made them, so that what an interrupted run left behind is found and swept.
"""

import contextlib
import itertools
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Final, Self

VIP: Final = "10.9.0.10"
_PATTERN: Final = re.compile(r"^fo(\d+)-")
_numbers = itertools.count()


def sh(*words: str) -> str:
    """Run a command; what it printed. AssertionError with its complaint."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr.strip()}"
    return done.stdout


def sweep() -> None:
    """Remove the namespaces, and end what runs in them, of runs whose process is gone."""
    for name in (line.split()[0] for line in sh("ip", "netns", "list").splitlines() if line):
        found = _PATTERN.match(name)
        if found and not Path("/proc", found[1]).exists():
            end_all(name)
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def pids(namespace: str) -> list[int]:
    """Give the processes whose network is this namespace."""
    return [int(word) for word in sh("ip", "netns", "pids", namespace).split()]


def end_all(namespace: str, bound_s: float = 5.0) -> None:
    """SIGKILL everything in the namespace, until nothing new turns up there."""
    end = time.monotonic() + bound_s
    while (found := pids(namespace)) and time.monotonic() < end:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


class Lan:
    """``with Lan() as lan``: hosts 0…2 at 10.9.0.11…13 and the client at 10.9.0.100, each with one eth0."""

    def __init__(self, hosts: int = 3):
        self._tag = f"fo{os.getpid()}-{next(_numbers)}"
        self.bridge = f"{self._tag}br"
        self.client = f"{self._tag}cl"
        self.hosts = [f"{self._tag}h{number}" for number in range(hosts)]

    def __enter__(self) -> Self:
        sweep()
        try:
            sh("ip", "netns", "add", self.bridge)
            sh("ip", "-n", self.bridge, "link", "add", "br0", "type", "bridge", "forward_delay", "0")
            sh("ip", "-n", self.bridge, "link", "set", "br0", "up")
            for number, host in enumerate(self.hosts):
                self._join(host, f"p{number}", self.address(number))
            self._join(self.client, "pc", "10.9.0.100")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for name in (*self.hosts, self.client, self.bridge):
            if Path("/run/netns", name).exists():
                end_all(name)
                subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)

    def address(self, host: int) -> str:
        """Give a host's own address."""
        return f"10.9.0.{11 + host}"

    def link(self, host: int, *, up: bool) -> None:
        """Take the link away or give it back: the host itself sees its carrier go."""
        sh("ip", "-n", self.bridge, "link", "set", f"p{host}", "up" if up else "down")

    def cut(self, host: int, *, off: bool) -> None:
        """Let no frame pass any more, or again, while the host still sees a carrier: a dead switch in between."""
        sh("ip", "-n", self.bridge, "link", "set", f"p{host}", *(("nomaster",) if off else ("master", "br0")))

    def _join(self, name: str, port: str, address: str) -> None:
        sh("ip", "netns", "add", name)
        sh("ip", "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", port, "netns", self.bridge)
        sh("ip", "-n", self.bridge, "link", "set", port, "master", "br0", "up")
        sh("ip", "-n", name, "link", "set", "lo", "up")
        sh("ip", "-n", name, "link", "set", "eth0", "up")
        sh("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
