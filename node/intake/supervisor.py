"""Keeps the intake processes running: binds the ports, spawns, restarts with back-off, reloads, drains.

The core holds every listening socket until the end, so a worker that dies loses no queued connection: its
successor accepts them. Knows processes and sockets; what workers ask is channel.py's business.
"""

import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
from collections.abc import Callable
from typing import Final

from node.intake.channel import CoreChannel
from node.intake.farewell import SETTLE_S
from node.intake.frames import Hold, SeeOut
from node.intake.local import LocalDoor
from node.intake.sockets import bind_listener, hold_back, let_come
from node.settings.model import Settings
from node.telemetry.contract import Telemetry

log = logging.getLogger(__name__)
FIRST_PAUSE_S: Final = 0.1
LAST_PAUSE_S: Final = 5.0
STEADY_S: Final = 30.0
"""A worker that lived this long is restarted at once again."""
MEMORY: Final = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
    "MALLOC_TOP_PAD_": str(16 << 20),
}
"""Large bodies pass through buffers of 256 KiB; by default glibc maps and unmaps each one, and the kernel clears every
page of it anew: half of a worker's time on 1 MB messages. Bounded by what is kept untrimmed. The environment wins."""
START_S: Final = 30.0
STOP_S: Final = 5.0
"""From asking a worker to end to killing it, beyond the drain's own bound."""


class Supervisor:
    """All intake processes of this host."""

    def __init__(
        self, settings: Settings, door: LocalDoor, telemetry: Telemetry, *, hostname: str, processes: int
    ) -> None:
        """``hostname``: the host's own name, used where the settings name none."""
        self._settings = settings
        self._door = door
        self._telemetry = telemetry
        self._hostname = hostname
        self._processes = processes
        self._sockets: dict[str, list[socket.socket]] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._channels: dict[int, CoreChannel] = {}
        self._stopping = False
        self._drain_by_s = 0.0
        """When a drain is to be over; 0: there is none."""
        self._cut_off = 0
        self._hurried = asyncio.Event()
        """Nobody waits any more: for a worker's restart, for clients that may be told to come back."""
        self.ports: dict[str, int] = {}
        self.pids: dict[int, int] = {}
        """Process by worker number; a number missing is being restarted."""

    async def start(self) -> None:
        """Bind, spawn, and wait until every worker listens. Raises ListenError."""
        try:
            for name, listener in self._settings.listeners.items():
                self._sockets[name] = bind_listener(name, listener, self._processes)
                self.ports[name] = self._sockets[name][0].getsockname()[1]
        except BaseException:
            self._close_sockets()
            raise
        ready = [asyncio.Event() for _ in range(self._processes)]
        self._keepers = [asyncio.create_task(self._keep(number, ready[number])) for number in range(self._processes)]
        try:
            await asyncio.wait_for(asyncio.gather(*(event.wait() for event in ready)), START_S)
        except BaseException:
            await self.close()
            raise

    async def _keep(self, number: int, ready: asyncio.Event) -> None:
        """Run one worker, again and again."""
        loop = asyncio.get_running_loop()
        pause_s = FIRST_PAUSE_S
        while True:
            began_s = loop.time()
            code = await self._run(number, ready)
            if self._stopping or (self._drain_by_s and not self._holds(number)):
                return
            if loop.time() - began_s >= STEADY_S:
                pause_s = FIRST_PAUSE_S
            log.error("intake worker %d ended with %s; again in %.1f s", number, code, pause_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurried.wait(), pause_s)
            pause_s = min(pause_s * 2, LAST_PAUSE_S)

    async def _run(self, number: int, ready: asyncio.Event) -> int:
        """Spawn one worker and see it to its end; its exit status."""
        (ours, theirs), (our_lane, their_lane) = socket.socketpair(), socket.socketpair()
        descriptors = {name: several[number].fileno() for name, several in self._sockets.items()}
        ends = ["--channel", str(theirs.fileno()), "--lane", str(their_lane.fileno())]
        arguments = [*ends, "--listeners", json.dumps(descriptors)]
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "node.intake.worker", *arguments, "--processes", str(self._processes)),
                pass_fds=[theirs.fileno(), their_lane.fileno(), *descriptors.values()],
                env={**MEMORY, **os.environ},
                stdin=asyncio.subprocess.DEVNULL,
            )
        except BaseException:
            ours.close()
            our_lane.close()
            raise
        finally:
            theirs.close()
            their_lane.close()
        self.pids[number] = process.pid
        channel = await self._connect(ours, our_lane)
        self._channels[number] = channel
        if self._drain_by_s:  # a successor: its predecessor left clients queued
            self._drain(number, channel)
        try:
            if await channel.serving:
                ready.set()
            code = await process.wait()
            self._cut_off += max(channel.drained.result(), 0) if channel.drained.done() else 0
            return code
        finally:
            self._channels.pop(number, None)
            self.pids.pop(number, None)
            await self._end(process, channel)

    async def _connect(self, ours: socket.socket, lane: socket.socket) -> CoreChannel:
        loop = asyncio.get_running_loop()
        settings = self._settings.model_dump_json().encode()
        _, channel = await loop.create_connection(
            lambda: CoreChannel(self._door, self._telemetry, settings, self._hostname, lambda: None, lane), sock=ours
        )
        return channel

    async def _end(self, process: asyncio.subprocess.Process, channel: CoreChannel) -> None:
        """Hang up and make sure the process is gone."""
        await channel.close()
        if process.returncode is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), STOP_S)
        if process.returncode is None:
            process.kill()
            await process.wait()

    def reload(self, settings: Settings) -> list[str]:
        """Tell every worker; what needs a restart of the node is returned."""
        old, new = self._settings.listeners, settings.listeners
        stuck = [f"listeners.{name}: added or removed" for name in new.keys() ^ old.keys()]
        stuck += [
            f"listeners.{name}: port or address changed"
            for name in new.keys() & old.keys()
            if (new[name].port, new[name].address) != (old[name].port, old[name].address)
        ]
        if settings.intake.processes != self._settings.intake.processes:
            stuck.append("intake.processes: intake processes are started once")
        kept = {name: new.get(name, own) for name, own in old.items()}
        self._settings = settings.model_copy(update={"listeners": kept})
        content = self._settings.model_dump_json().encode()
        for channel in self._channels.values():
            channel.reload(content)
        return sorted(stuck)

    async def hold(self, addresses: frozenset[str], bound_s: float, settle_s: float = SETTLE_S) -> None:
        """Keep newcomers waiting, see sessions out that came by these addresses; see ``IntakeServer.hold``."""
        self._for_all(hold_back)
        await self._seen_out(Hold(addresses=tuple(sorted(addresses)), bound_s=bound_s, settle_s=settle_s))

    async def see_out(self, addresses: frozenset[str], bound_s: float) -> None:
        """See sessions out that are here by these addresses now; see ``IntakeServer.see_out``."""
        await self._seen_out(SeeOut(addresses=tuple(sorted(addresses)), bound_s=bound_s))

    async def _seen_out(self, order: Hold | SeeOut) -> None:
        channels = list(self._channels.values())
        for channel in channels:
            channel.see_out(order)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(order.bound_s + STOP_S):
                await asyncio.gather(*(channel.held.wait() for channel in channels))

    def welcome(self) -> None:
        """Let newcomers in again."""
        self._for_all(let_come)
        for channel in self._channels.values():
            channel.unhold()

    async def drain(self, bound_s: float) -> int:
        """Let in who is queued, stop listening, see sessions out, for at most ``bound_s``; sessions cut off.

        A socket whose worker is being restarted keeps its queue until the successor has it.
        """
        self._drain_by_s = asyncio.get_running_loop().time() + bound_s
        self._for_all(hold_back)
        for number, channel in tuple(self._channels.items()):
            self._drain(number, channel)
        if self._keepers:
            await asyncio.wait(self._keepers, timeout=bound_s + STOP_S)
        self._stopping = True
        self._close_sockets()
        return self._cut_off

    def _drain(self, number: int, channel: CoreChannel) -> None:
        """Leave a worker alone with its sockets: when it closes them they are closed."""
        channel.drain(max(0.0, self._drain_by_s - asyncio.get_running_loop().time()))
        for name in self._sockets:
            self._sockets[name][number].close()

    def _holds(self, number: int) -> bool:
        return any(several[number].fileno() >= 0 for several in self._sockets.values())

    def hurry(self) -> None:
        """Wait for nobody any more who may be told to come back."""
        self._hurried.set()
        for channel in self._channels.values():
            channel.drain(0.0)

    def _for_all(self, act: Callable[[socket.socket], object]) -> None:
        for several in self._sockets.values():
            for opened in several:
                if opened.fileno() >= 0:
                    act(opened)

    async def close(self) -> None:
        """End every worker."""
        self._stopping = True
        self._close_sockets()
        for channel in tuple(self._channels.values()):
            await channel.close()
        for keeper in self._keepers:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(keeper), 2 * STOP_S + 1)
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._keepers.clear()

    def _close_sockets(self) -> None:
        for several in self._sockets.values():
            for opened in several:
                opened.close()
        self._sockets.clear()
