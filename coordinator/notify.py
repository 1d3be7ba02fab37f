"""Tells systemd how we are (sd_notify): ready, alive, stopping. Nothing is told outside of systemd."""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

LATE_MS: Final = 5_000
"""Work that has not moved for so long is hung: systemd is not told that we live."""


class Notifier:
    """The socket named in the environment."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Read where systemd listens and how often it wants to hear from us."""
        self._path = environment.get("NOTIFY_SOCKET", "")
        own = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        text = environment.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(text) / 1e6 if own and text.isascii() and text.isdigit() else 0.0

    def tell(self, state: str) -> None:
        """Send one state such as ``READY=1``; a systemd that does not listen is not our fault."""
        if not self._path:
            return
        address = "\0" + self._path[1:] if self._path.startswith("@") else self._path
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.sendto(state.encode(), address)

    async def watch(self, late_ms: Callable[[], int]) -> None:
        """Say from the loop itself that it runs, while the work moves: ``late_ms`` tells since when it has not."""
        while self._path and self.watchdog_s:
            if late_ms() < LATE_MS:
                self.tell("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_s / 4)
        await asyncio.Event().wait()
