"""Says which host a connection on this machine comes from, by the process that holds its other end (proc(5)).

All hosts of a demonstration share the loopback network, and the kernel gives every connection the same source address.
Only processes of one's own can be looked at, and only those a demonstration started are asked about.
"""

import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from node.rehearsal.drill.network import OUTSIDE

PROC: Final = Path("/proc")
_ROW: Final = re.compile(r"\s*\d+: ([0-9A-F]{8}):([0-9A-F]{4}) ([0-9A-F]{8}):([0-9A-F]{4}) (?:\S+ +){6}(\d+)")
Address = tuple[str, int]


class Owners:
    """``pid_files``: files that hold a process id, and whose host it is; they are read anew each time."""

    def __init__(self, pid_files: Mapping[str, str], proc: Path = PROC) -> None:
        """Look at nothing yet."""
        self._pid_files, self._proc = pid_files, proc

    def source(self, client: Address, server: Address) -> str:
        """Name the host whose process holds the client's end of an IPv4 connection; ``OUTSIDE`` when none does."""
        inode = inode_of(self._table(), client, server)
        if inode is None:
            return OUTSIDE
        wanted = f"socket:[{inode}]"
        return next((host for process, host in self._processes() if wanted in self._held(process)), OUTSIDE)

    def _table(self) -> str:
        return (self._proc / "net" / "tcp").read_text("ascii", "replace")

    def _processes(self) -> Iterator[tuple[int, str]]:
        for file, host in self._pid_files.items():
            try:
                yield int(Path(file).read_text("ascii")), host
            except (OSError, ValueError):
                continue  # not started yet, or being started again

    def _held(self, process: int) -> set[str]:
        found = set()
        try:
            for one in (self._proc / str(process) / "fd").iterdir():
                try:
                    found.add(str(one.readlink()))
                except OSError:
                    continue  # closed meanwhile
        except OSError:
            return found  # ended meanwhile
        return found


def inode_of(table: str, client: Address, server: Address) -> int | None:
    """Find the client's socket in the kernel's table of TCP connections over IPv4. Pure."""
    wanted = (*_written(client), *_written(server))
    for row in table.splitlines():
        match = _ROW.match(row)
        if match is not None and match.group(1, 2, 3, 4) == wanted:
            return int(match[5])
    return None


def _written(address: Address) -> tuple[str, str]:
    """Write an address as the table does: four octets in the machine's order (little-endian), and the port."""
    host, port = address
    return socket.inet_aton(host)[::-1].hex().upper(), f"{port:04X}"
