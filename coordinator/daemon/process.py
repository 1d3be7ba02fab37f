"""Whether the process at the other end of a local connection has ended: the kernel's own word, by a pidfd.

A closed socket does not tell: a process that stands still keeps all of its own open, and one that hangs while it stops
has closed some. A pidfd becomes readable once the process is gone, and then the kernel has closed everything it had.
"""

import os
import select
import socket
import struct
from typing import Final

CREDENTIALS: Final = struct.Struct("3i")
"""``struct ucred``: process, user, group (unix(7), SO_PEERCRED)."""


class PeerProcess:
    """The process that listens at the other end; unknown where the kernel does not say."""

    def __init__(self, pid: int) -> None:
        """``pid``: 0 for a process of a namespace that is not ours."""
        self._ended, self._fd = False, -1
        try:
            self._fd = os.pidfd_open(pid) if pid > 0 else -1
        except ProcessLookupError:
            self._ended = True
        except OSError:
            pass  # not allowed, or no kernel for it: unknown, which is never "ended"

    @classmethod
    def of(cls, connection: socket.socket) -> "PeerProcess":
        """Give the process behind a connected unix socket."""
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        return cls(CREDENTIALS.unpack(raw)[0])

    @property
    def ended(self) -> bool:
        """Whether it is known to be gone."""
        if not self._ended and self._fd >= 0:
            look = select.poll()
            look.register(self._fd, select.POLLIN)
            self._ended = bool(look.poll(0))
        return self._ended

    def close(self) -> None:
        """Know no more than now."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
