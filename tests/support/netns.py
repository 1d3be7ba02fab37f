"""A network of its own for a test: fixed ports such as 25 and 2525 are free there, whatever runs on the host.

Needs root and iproute2; ``REASON`` says so in a skip.
"""

import contextlib
import ctypes
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Self

CLONE_NEWNET = 0x40000000
USABLE = os.geteuid() == 0 and shutil.which("ip") is not None
REASON = "needs root and iproute2 to make a network namespace"
_numbers = itertools.count()


def _enter(path: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if libc.setns(descriptor, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {path}")
    finally:
        os.close(descriptor)


class Namespace:
    """``with Namespace() as net: Popen([*net.command, ...])``; ``net.inside()`` for sockets of this thread."""

    def __init__(self, *addresses: str):
        self.name = f"relay-{os.getpid()}-{next(_numbers)}"
        self.addresses = addresses
        self.command = ("ip", "netns", "exec", self.name)

    def __enter__(self) -> Self:
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        subprocess.run(["ip", "-n", self.name, "link", "set", "lo", "up"], check=True)
        for address in self.addresses:
            subprocess.run(["ip", "-n", self.name, "address", "add", address, "dev", "lo"], check=True)
        return self

    def __exit__(self, *exc):
        subprocess.run(["ip", "netns", "delete", self.name], check=True)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets this thread opens meanwhile belong to the namespace (and stay there afterwards)."""
        home = f"/proc/self/task/{ctypes.CDLL(None).gettid()}/ns/net"
        back = os.open(home, os.O_RDONLY)
        _enter(str(Path("/run/netns") / self.name))
        try:
            yield
        finally:
            _enter(f"/proc/self/fd/{back}")
            os.close(back)
