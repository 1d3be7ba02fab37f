"""An address moved by a program of the operator's (a routing daemon's socket, a provider's API).

Called ``PROGRAM gain|lose NAME ADDRESS LIFETIME``, no shell, empty environment, bounded time. Nothing ends such an
address when this process is frozen; whoever chooses this driver must let the program honour LIFETIME.
"""

import asyncio
import os
import stat
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

from coordinator.drivers.contract import DriverError

TIMEOUT_S: Final = 2.0


class HookDriver:
    """``Driver`` that calls a program."""

    def __init__(self, name: str, address: IPv4Address | IPv6Address, program: Path) -> None:
        """Check the program: absolute, a file of root's that nobody else may write. Raises DriverError."""
        if not program.is_absolute() or not program.is_file():
            raise DriverError(f"hook {program}: not the absolute path of a file")
        found = program.stat()
        if found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or not os.access(program, os.X_OK):
            raise DriverError(f"hook {program}: must be root's, executable, and writable by root alone")
        self._name, self._address, self._program = name, address, program

    async def clean(self) -> None:
        """See Driver."""
        await self.remove()

    async def probe(self) -> bool:
        """See Driver: nobody can be asked."""
        return False

    async def bind(self, lifetime_s: int) -> None:
        """See Driver; called at every refresh with the new lifetime."""
        await self._call("gain", lifetime_s)

    async def remove(self) -> None:
        """See Driver: the program returns when it is done."""
        await self._call("lose", 0)

    async def close(self) -> None:
        """See Driver."""

    async def _call(self, what: str, lifetime_s: int) -> None:
        words = (str(self._program), what, self._name, str(self._address), str(lifetime_s))
        nothing = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*words, env={}, stdin=nothing, stdout=nothing, stderr=nothing)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status = await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise DriverError(f"hook {what} {self._name}: not done within {TIMEOUT_S:g} s") from None
        if status != 0:
            raise DriverError(f"hook {what} {self._name}: ended with status {status}")
