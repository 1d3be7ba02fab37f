"""The kernels watched: on which hosts is the address bound, at most 5 ms between two looks and at once on any change.

``python -m tests.failover.watcher ADDRESS FILE NAMESPACE…`` (outside all of them) writes a JSON line for each change:
host, bound or not, the last look that said otherwise (``before``) and the first that said so (``at``), CLOCK_MONOTONIC.
The truth lies between the two. Looks further apart than ``SLOW_S`` are written down too: so fine is the measure.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Final

EVERY_S: Final = 0.005
SLOW_S: Final = 0.01
HOME: Final = Path("/proc/self/ns/net")
CLONE_NEWNET: Final = 0x40000000
RTM_NEWADDR, RTM_GETADDR = 20, 22
NLM_F_REQUEST_DUMP = 0x301
NLMSG_DONE = 3
IFA_LOCAL = 2
RTMGRP_IPV4_IFADDR = 0x10
_libc = ctypes.CDLL(None, use_errno=True)


def enter(place: Path) -> None:
    """Put this process's next sockets into a namespace."""
    with place.open() as space:
        if _libc.setns(space.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {place}")


def addresses(datagram: bytes) -> tuple[list[bytes], bool]:
    """Read the local IPv4 addresses out of one datagram of a dump, and whether the dump is complete."""
    found, at = [], 0
    while at + 16 <= len(datagram):
        length, kind = struct.unpack_from("=IH", datagram, at)
        if kind == NLMSG_DONE:
            return found, True
        if kind == RTM_NEWADDR:
            inner = at + 24
            while inner + 4 <= at + length:
                size, attribute = struct.unpack_from("=HH", datagram, inner)
                if attribute == IFA_LOCAL:
                    found.append(datagram[inner + 4 : inner + 8])
                inner += max(4, (size + 3) & ~3)
        at += max(16, (length + 3) & ~3)
    return found, False


class Kernel:
    """One host's kernel: asked for its addresses, and telling of changes."""

    def __init__(self, namespace: str, address: str):
        enter(Path("/run/netns", namespace))
        self._wanted = socket.inet_aton(address)
        self._ask = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._ask.settimeout(1.0)
        self.news = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self.news.bind((0, RTMGRP_IPV4_IFADDR))
        self.bound = False
        self.looked = time.monotonic()

    def look(self) -> bool:
        """Ask whether the address is bound now."""
        self._ask.send(struct.pack("=IHHIIBxxxI", 24, RTM_GETADDR, NLM_F_REQUEST_DUMP, 1, 0, socket.AF_INET, 0))
        found, complete = [], False
        while not complete:
            more, complete = addresses(self._ask.recv(65536))
            found += more
        return self._wanted in found

    def drain(self) -> None:
        """Forget the announcements: they only say when to look."""
        with contextlib.suppress(BlockingIOError):
            while self.news.recv(65536):
                pass


def watch(address: str, target: Path, namespaces: list[str]) -> None:
    """Look until SIGTERM."""
    going = [True]
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    with HOME.open() as home:
        kernels = [Kernel(name, address) for name in namespaces]
        enter(Path(f"/proc/self/fd/{home.fileno()}"))  # or it would die with the last host
    with target.open("w", buffering=1) as out:
        while going:
            for number, kernel in enumerate(kernels):
                asked = time.monotonic()
                bound = kernel.look()
                now = time.monotonic()
                if now - kernel.looked > SLOW_S:
                    out.write(json.dumps({"slow_s": now - kernel.looked, "until": now}) + "\n")
                if bound != kernel.bound:
                    kernel.bound = bound
                    change = {"host": number, "bound": bound, "before": kernel.looked, "at": now}
                    out.write(json.dumps(change) + "\n")
                kernel.looked = asked
            told, _, _ = select.select([each.news for each in kernels], [], [], EVERY_S)
            for kernel in kernels:
                if kernel.news in told:
                    kernel.drain()
        out.write(json.dumps({"ended": time.monotonic()}) + "\n")


if __name__ == "__main__":
    with contextlib.suppress(PermissionError):  # its looks must not wait behind the work of three hosts
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    watch(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
