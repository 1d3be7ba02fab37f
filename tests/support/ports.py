"""Ports for processes that tests start: never those of two tests at once, and none that the kernel gives away.

A port that was bound and let go can be taken by anybody before its process starts, above all by connections going out.
So these come from below the kernel's own range, in blocks that a process of tests holds by a lock while it lives.
"""

import fcntl
import os
import socket
import tempfile
from pathlib import Path

FIRST, LAST = 10_000, 32_000
BLOCK = 100
BLOCKS = (LAST - FIRST) // BLOCK
HELD_MAX = 8
"""Blocks one process holds; the oldest is given back, when what was started there is long gone."""
_held: dict[int, int] = {}
_ports: list[int] = []


def free_ports(count: int) -> list[int]:
    """Give ports of 127.0.0.1 on which nothing listens and which nobody else gets meanwhile."""
    found: list[int] = []
    while len(found) < count:
        if not _ports:
            _ports.extend(_next_block())
        port = _ports.pop(0)
        if _is_free(port):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _next_block() -> range:
    locks = Path(tempfile.gettempdir()) / f"relay-test-ports-{os.getuid()}"
    locks.mkdir(exist_ok=True)
    begin = list(_held)[-1] + 1 if _held else os.getpid() * 7
    for number in (at % BLOCKS for at in range(begin, begin + BLOCKS)):
        lock = os.open(locks / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused for a block of our own as well
        except OSError:
            os.close(lock)
            continue
        _keep(number, lock)
        return range(FIRST + number * BLOCK, FIRST + (number + 1) * BLOCK)
    raise RuntimeError(f"no block of ports from {FIRST} to {LAST} is free: see {locks}")


def _keep(number: int, lock: int) -> None:
    _held[number] = lock
    if len(_held) > HELD_MAX:
        os.close(_held.pop(next(iter(_held))))
