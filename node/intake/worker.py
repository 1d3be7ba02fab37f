"""A stateless intake process: listens on sockets it was given and hands everything accepted to the core.

Started by supervisor.py as ``python -m node.intake.worker``. Keeps nothing that matters: killed at any moment it loses
no message that was answered 250. When the core goes away it stops listening, answers 421 or 451, and ends.
"""

import argparse
import asyncio
import faulthandler
import gc
import json
import logging
import signal
import socket
from collections.abc import Coroutine
from typing import Any, Final

import uvloop

from node.errors import RelayError
from node.intake.frames import Drain, Hold, Order, Reload, SeeOut, Unhold, Welcome
from node.intake.lane import WorkerLane
from node.intake.leaving import shut
from node.intake.meters import WorkerTelemetry
from node.intake.remote import RemoteDoor
from node.intake.server import IntakeServer
from node.settings.model import Settings
from node.settings.rules import intake_rules
from node.telemetry import build
from node.telemetry.logs import configure

log = logging.getLogger(__name__)
WELCOME_S: Final = 30.0
GC_THRESHOLDS: Final = (20_000, 20, 20)
"""Sessions make few cycles; the default collects every 700 objects."""
ORPHAN_S: Final = 5.0
"""How long sessions get to hear that the core is away."""


class _Over:
    """The sessions have been seen out."""


class Worker:
    """One worker process's life."""

    def __init__(
        self, channel: socket.socket, lane: socket.socket, listeners: dict[str, socket.socket], processes: int
    ) -> None:
        self._channel = channel
        self._lane = lane
        self._listeners = listeners
        self._processes = processes
        self._orders: asyncio.Queue[Order | _Over | None] = asyncio.Queue()
        self._beside: set[asyncio.Task[None]] = set()
        self._hostname = ""

    async def run(self) -> None:
        """Serve until the core says drain or goes away."""
        loop = asyncio.get_running_loop()
        _, door = await loop.create_connection(
            lambda: RemoteDoor(self._orders.put_nowait, lambda: self._orders.put_nowait(None)), sock=self._channel
        )
        _, lane = await loop.create_connection(lambda: WorkerLane(door.appended, door.lane_lost), sock=self._lane)
        door.use(lane)
        welcome = await asyncio.wait_for(door.ready, WELCOME_S)
        settings = self._read(welcome)
        spans = build(settings, role="intake")
        telemetry = WorkerTelemetry(spans, door)
        try:
            rules = intake_rules(settings, self._hostname)
            server = IntakeServer(settings, rules, door, telemetry, sockets=self._listeners, processes=self._processes)
            await server.start()
            door.serving()
            try:
                await self._serve(server, door, telemetry)
            finally:
                await server.close()
        finally:
            telemetry.flush()
            door.close()
            spans.close()

    def _read(self, welcome: Welcome) -> Settings:
        self._hostname = welcome.hostname
        settings = Settings.model_validate_json(welcome.settings)
        configure(settings.telemetry.log_level)
        return settings

    async def _serve(self, server: IntakeServer, door: RemoteDoor, telemetry: WorkerTelemetry) -> None:
        """Do what the core says, until the sessions are seen out. A second drain, or the core's end, hurries that."""
        end: asyncio.Task[int] | None = None
        while end is None or not end.done():
            order = await self._orders.get()
            match order:
                case Reload(settings=settings):
                    self._reload(server, settings)
                case Hold() | SeeOut():
                    task = asyncio.create_task(_hold(server, door, order))
                    self._beside.add(task)
                    task.add_done_callback(self._beside.discard)
                case Unhold():
                    server.welcome()
                case Drain(bound_s=bound_s) if end is None:
                    end = self._ending(server.drain(bound_s))
                case None if end is None:
                    end = self._ending(server.drain(ORPHAN_S, shut))
                case Drain() | None:
                    server.hurry()
        telemetry.flush()
        door.drained(end.result())

    def _ending(self, work: Coroutine[Any, Any, int]) -> asyncio.Task[int]:
        end = asyncio.create_task(work)
        end.add_done_callback(lambda _: self._orders.put_nowait(_Over()))
        return end

    def _reload(self, server: IntakeServer, settings: bytes) -> None:
        """Take over new settings; the core has checked them, so a fault here keeps the old ones and is told."""
        try:
            read = Settings.model_validate_json(settings)
            server.reload(read, intake_rules(read, self._hostname))
        except (RelayError, ValueError) as error:
            log.error("worker keeps its settings: %s", error)  # noqa: TRY400 - the text says all


async def _hold(server: IntakeServer, door: RemoteDoor, order: Hold | SeeOut) -> None:
    addresses = frozenset(order.addresses)
    if isinstance(order, Hold):
        await server.hold(addresses, order.bound_s, order.settle_s)
    else:
        await server.see_out(addresses, order.bound_s)
    door.held()


def main() -> None:
    """Read the arguments the supervisor gives and run."""
    parser = argparse.ArgumentParser(prog="node.intake.worker", description="Intake process; started by relay-node.")
    parser.add_argument("--channel", type=int, required=True, help="descriptor of the socket to the core")
    parser.add_argument("--lane", type=int, required=True, help="descriptor of the socket for mail alone")
    parser.add_argument("--listeners", type=json.loads, required=True, help="descriptors by listener, as JSON")
    parser.add_argument("--processes", type=int, required=True, help="how many share the ports")
    given = parser.parse_args()
    faulthandler.enable()  # a crash in C code says where each thread was
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)  # the core gets it too, and tells us to drain
    listeners = {name: socket.socket(fileno=fd) for name, fd in given.listeners.items()}
    channel, lane = socket.socket(fileno=given.channel), socket.socket(fileno=given.lane)
    worker = Worker(channel, lane, listeners, given.processes)
    gc.freeze()  # modules and settings never go away; a full collection need not walk them
    gc.set_threshold(*GC_THRESHOLDS)
    uvloop.run(worker.run())


if __name__ == "__main__":
    main()
