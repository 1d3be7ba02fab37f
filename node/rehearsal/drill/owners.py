"""Says which host a connection on this machine comes from, by the process that holds its other end.

All hosts of a demonstration share the loopback network, and the kernel gives every connection the same source address.
The kernel is asked for the one socket (sock_diag(7)), since reading its whole table takes longer the more there are;
then each process a demonstration started is asked whether it holds it (proc(5)), which one may of one's own.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from node.rehearsal.drill.network import OUTSIDE

Address = tuple[str, int]
PROC: Final = Path("/proc")
ANSWER_MAX: Final = 4096
ANSWER_S: Final = 2.0
_SOCK_DIAG: Final = 4
_BY_FAMILY: Final = 20
_REQUEST: Final = 1
_ERROR: Final = 2
_ANY_STATE: Final = 0xFFFFFFFF
_NO_COOKIE: Final = b"\xff" * 8
_HEAD: Final = struct.Struct("=IHHII")
_ASKED: Final = struct.Struct("=BBBxI")
_PORTS: Final = struct.Struct("!HH")
_SOCKET: Final = struct.Struct("=16s16sI8s")
_FAULT: Final = struct.Struct("=i")
_INODE: Final = struct.Struct("=I")
_INODE_AT: Final = _HEAD.size + 4 + _PORTS.size + _SOCKET.size + 16
"""Behind four octets about the state, the socket's own, and expiry, both queues and the user."""


class Owners:
    """``pid_files``: files that hold a process id, and whose host it is; they are read anew each time."""

    def __init__(self, pid_files: Mapping[str, str], proc: Path = PROC) -> None:
        """Look at nothing yet."""
        self._pid_files, self._proc = pid_files, proc

    def source(self, client: Address, server: Address) -> str:
        """Name the host whose process holds the client's end of an IPv4 connection; ``OUTSIDE`` when none does.

        Raises OSError when the kernel does not answer.
        """
        inode = inode_of(client, server)
        if not inode:
            return OUTSIDE
        wanted = f"socket:[{inode}]"
        return next((host for process, host in self._processes() if self._holds(process, wanted)), OUTSIDE)

    def _processes(self) -> Iterator[tuple[int, str]]:
        for file, host in self._pid_files.items():
            try:
                yield int(Path(file).read_text("ascii")), host
            except (OSError, ValueError):
                continue  # not started yet, or being started again

    def _holds(self, process: int, wanted: str) -> bool:
        try:
            # The youngest descriptors often have the highest numbers.
            names = sorted(os.listdir(self._proc / str(process) / "fd"), key=int, reverse=True)  # noqa: PTH208 - names
        except OSError:
            return False  # ended meanwhile
        return any(self._leads(process, name) == wanted for name in names)

    def _leads(self, process: int, name: str) -> str:
        try:
            return os.readlink(f"{self._proc}/{process}/fd/{name}")  # noqa: PTH115 - called hundreds of times
        except OSError:
            return ""  # closed meanwhile


def inode_of(local: Address, remote: Address) -> int:
    """Ask the kernel for the inode of one end of a TCP connection over IPv4; 0 when there is none, or no more."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
        kernel.settimeout(ANSWER_S)
        kernel.send(question(local, remote))
        return answered(kernel.recv(ANSWER_MAX))


def question(local: Address, remote: Address) -> bytes:
    """Write ``inet_diag_req_v2`` for one socket. Pure."""
    asked = _ASKED.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, _ANY_STATE)
    ends = (socket.inet_aton(host).ljust(16, b"\0") for host, _ in (local, remote))
    body = asked + _PORTS.pack(local[1], remote[1]) + _SOCKET.pack(*ends, 0, _NO_COOKIE)
    return _HEAD.pack(_HEAD.size + len(body), _BY_FAMILY, _REQUEST, 1, 0) + body


def answered(data: bytes) -> int:
    """Read the inode from ``inet_diag_msg``; 0 for a socket that is not there. Raises OSError for any other fault."""
    kind = _HEAD.unpack_from(data)[1]
    if kind == _ERROR:
        fault = -_FAULT.unpack_from(data, _HEAD.size)[0]
        if fault in (0, errno.ENOENT):
            return 0
        raise OSError(fault, os.strerror(fault))
    return int(_INODE.unpack_from(data, _INODE_AT)[0])
