"""The core's end of the channel to one worker: answers its questions from the local door, in batches.

A worker that sends anything but frames loses its channel, and nobody else does. Reservations of a worker that died
are given back.
"""

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, cast

from node.errors import RelayError
from node.intake.door import DoorState, Sight
from node.intake.errors import ChannelBrokenError
from node.intake.frames import (
    Admit,
    Admitted,
    Append,
    Appended,
    Counted,
    Done,
    Drain,
    Drained,
    Failed,
    FrameReader,
    FromCore,
    FromWorker,
    Held,
    Hold,
    Reload,
    SeeOut,
    Serving,
    Sighted,
    State,
    Unhold,
    Verified,
    Verify,
    Welcome,
    add_frame,
)
from node.intake.lane import CoreLane, accepted
from node.intake.local import LocalDoor
from node.spool.contract import Accepted
from node.telemetry.contract import Telemetry

log = logging.getLogger(__name__)
SAMPLE_ID: Final = "00000000-0000-7000-8000-000000000000"
"""A well-formed id, to learn the directory bodies are written to."""


class CoreChannel(asyncio.Protocol):
    """One worker as the core sees it."""

    def __init__(
        self,
        door: LocalDoor,
        telemetry: Telemetry,
        settings: bytes,
        hostname: str,
        on_lost: Callable[[], None],
        lane: socket.socket | None = None,
    ) -> None:
        """``settings`` as JSON; ``on_lost`` is called when the worker hung up or was cut off; ``lane``: see lane.py."""
        self._lane = lane
        self._door = door
        self._telemetry = telemetry
        self._settings = settings
        self._hostname = hostname
        self._on_lost = on_lost
        self._reader = FrameReader(FromWorker)
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._durable: list[int] = []
        self._out = bytearray()
        self._reserved: Counter[tuple[str, int]] = Counter()
        self._unwatch: Callable[[], None] = lambda: None
        self.serving: asyncio.Future[bool] = self._loop.create_future()
        """Done when the worker listens (True) or went away before (False)."""
        self._seeing_out = 0
        self.held = asyncio.Event()
        """Set when the worker has done all that ``see_out`` asked, or went away."""
        self.drained: asyncio.Future[int] = self._loop.create_future()
        """Done when the worker has drained, with the sessions cut off; -1 when it went away instead."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Welcome the worker and keep it told of the door's state."""
        self._transport = cast("asyncio.Transport", transport)
        directory = str(self._door.new_body_path(SAMPLE_ID).parent)
        welcome = Welcome(
            settings=self._settings,
            hostname=self._hostname,
            body_directory=directory,
            state=self._door.state(),
            lane=self._open_lane(),
        )
        self._send(welcome)
        self._unwatch = self._door.watch_state(self._state_changed)

    def _open_lane(self) -> bool:
        """Have the worker's mail read past this; False if it must come here."""
        opened, self._lane = self._lane, None
        if opened is None:
            return False
        lane = CoreLane(opened, self._append, self._answer)
        fed = self._door.feed(lane)
        if not fed:
            lane.close()
        return fed

    def _state_changed(self, state: DoorState) -> None:
        self._send(State(state=state))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - given by asyncio
        """Give its reservations back; what it sent completely is still made durable."""
        self._transport = None
        self._unwatch()
        for (client, reserved), times in self._reserved.items():
            for _ in range(times):
                self._door.client_done(client, reserved, 0)
        self._reserved.clear()
        self.held.set()
        if not self.drained.done():
            self.drained.set_result(-1)
        if not self.serving.done():
            self.serving.set_result(False)
        self._on_lost()

    def data_received(self, data: bytes) -> None:
        """Frames from the worker."""
        try:
            for frame in self._reader.feed(data):
                self._take(cast("FromWorker", frame))
        except ChannelBrokenError as error:
            log.error("intake worker cut off: %s", error)  # noqa: TRY400 - the place is of no interest
            if self._transport is not None:
                self._transport.abort()

    def _take(self, frame: FromWorker) -> None:
        match frame:
            case Append():
                self._append(frame.seq, accepted(frame))
            case Admit():
                self._spawn(self._admit(frame))
            case Verify():
                self._spawn(self._verify(frame))
            case Done(client=client, reserved=reserved, used=used):
                self._forget(client, reserved)
                self._door.client_done(client, reserved, used)
            case Sighted(client=client, what=what, address=address, amount=amount):
                self._door.sightings(client, Sight(what), address, amount)
            case Counted():
                self._count(frame)
            case Serving():
                if not self.serving.done():
                    self.serving.set_result(True)
            case Held():
                self._has_seen_out()
            case Drained(cut_off=cut_off):
                if not self.drained.done():
                    self.drained.set_result(cut_off)

    def _count(self, frame: Counted) -> None:
        if frame.spread is not None:
            self._telemetry.merge(frame.name, frame.spread, **frame.labels)
        if frame.amount:
            self._telemetry.count(frame.name, frame.amount, **frame.labels)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Bounded by the worker's sessions: each has one question open at a time."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _append(self, seq: int, item: Accepted) -> None:
        """Futures instead of a task for each message: without a lane every message takes this path."""
        stored = self._door.append(item)
        stored.add_done_callback(partial(self._appended, seq, item.message.id))

    def _appended(self, seq: int, message_id: str, stored: "asyncio.Future[None]") -> None:
        """Tell the worker; several messages of one batch share a frame."""
        error = asyncio.CancelledError() if stored.cancelled() else stored.exception()
        if error is not None:
            known = isinstance(error, RelayError)
            log.warning("message %s not stored", message_id, exc_info=None if known else error)
            self._send(Failed(seq=seq))
            return
        self._answer([seq])

    def _answer(self, seqs: list[int]) -> None:
        if not self._durable and not self._out:
            self._loop.call_soon(self._flush)
        self._durable += seqs

    async def _admit(self, frame: Admit) -> None:
        try:
            refusal = await self._door.admit(frame.client, frame.recipients, frame.held)
        except RelayError:
            self._send(Failed(seq=frame.seq))
            return
        if refusal is None:
            self._forget(frame.client, frame.held)
            self._reserved[(frame.client, frame.recipients)] += 1
        self._send(Admitted(seq=frame.seq, refusal=refusal))

    def _forget(self, client: str, reserved: int) -> None:
        key = (client, reserved)
        if self._reserved[key] > 1:
            self._reserved[key] -= 1
        else:
            del self._reserved[key]

    async def _verify(self, frame: Verify) -> None:
        try:
            outcome = await self._door.verify(frame.user, frame.password, frame.address)
        except RelayError:
            self._send(Failed(seq=frame.seq))
            return
        self._send(Verified(seq=frame.seq, outcome=outcome))

    def _send(self, frame: FromCore) -> None:
        if not self._out and not self._durable:
            self._loop.call_soon(self._flush)
        add_frame(self._out, frame)

    def _flush(self) -> None:
        if self._durable:
            add_frame(self._out, Appended(seqs=self._durable))
            self._durable = []
        out, self._out = self._out, bytearray()  # what was handed over is the transport's
        if self._transport is not None and out:
            self._transport.write(out)

    def reload(self, settings: bytes) -> None:
        """Tell the worker to read the settings again."""
        self._send(Reload(settings=settings))

    def see_out(self, order: Hold | SeeOut) -> None:
        """Tell the worker to see sessions of some addresses out; ``held`` is set when it has."""
        if self._transport is None:
            self.held.set()
            return
        self.held.clear()
        self._seeing_out += 1
        self._send(order)

    def _has_seen_out(self) -> None:
        self._seeing_out -= 1
        if not self._seeing_out:
            self.held.set()

    def unhold(self) -> None:
        """Tell the worker that newcomers come again."""
        self._send(Unhold())

    def drain(self, bound_s: float) -> None:
        """Tell the worker to end; ``drained`` is done when it has."""
        self._send(Drain(bound_s=bound_s))

    async def close(self) -> None:
        """Hang up and wait for what was being made durable."""
        if self._transport is not None:
            self._transport.close()
        if self._tasks:
            await asyncio.wait(self._tasks)
