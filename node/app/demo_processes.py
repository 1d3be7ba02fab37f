"""Processes of a demonstration: started, watched, started again when they end, and all ended at the end.

As systemd would, only slower to restart: there must be time to see what a death does. Every process has a session of
its own, so Ctrl-C reaches the demonstration alone; if the demonstration itself is killed, the kernel ends the others.
"""

import asyncio
import ctypes
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

RESTART_S: Final = 15.0
END_S: Final = 20.0
_PR_SET_PDEATHSIG: Final = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True, kw_only=True)
class Service:
    """One process to be kept running; its number stands in a file beside its log."""

    name: str
    command: Sequence[str]
    log: Path
    cwd: Path
    environment: dict[str, str] = field(default_factory=dict)
    rank: int = 0
    """Those with the highest end first."""
    process: asyncio.subprocess.Process | None = None


class Supervisor:
    """Keeps services running between ``start`` and ``close``."""

    def __init__(
        self, services: Sequence[Service], say: Callable[[str], None], *, restart_s: float = RESTART_S
    ) -> None:
        """``say`` hears of ends and restarts."""
        self._services, self._say, self._restart_s = services, say, restart_s
        self._watching: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start every service."""
        for service in self._services:
            await self._start(service)
            self._watching.append(asyncio.create_task(self._watch(service), name=service.name))

    async def close(self) -> None:
        """End all, rank by rank; whoever does not end in time is killed."""
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        for rank in sorted({service.rank for service in self._services}, reverse=True):
            await asyncio.gather(*(_end(service) for service in self._services if service.rank == rank))

    async def _start(self, service: Service) -> None:
        service.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with service.log.open("ab") as log:
            service.process = await asyncio.create_subprocess_exec(
                *service.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=service.cwd,
                env={**os.environ, **service.environment},
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        service.log.with_suffix(".pid").write_text(f"{service.process.pid}\n")

    async def _watch(self, service: Service) -> None:
        while service.process is not None:
            code = await service.process.wait()
            why = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            self._say(f"{service.name} ended ({why}); again in {self._restart_s:.0f} s. Its log: {service.log}")
            await asyncio.sleep(self._restart_s)
            await self._start(service)
            self._say(f"{service.name} started again")


async def _end(service: Service) -> None:
    process = service.process
    if process is None:
        return
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
            process.send_signal(signal.SIGCONT)  # whoever was stopped must hear it
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # and whatever it started and left
    await process.wait()


def die_with_parent() -> None:
    """In the child, before its program: end when the demonstration ends, however it ends (prctl(2))."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
