"""The door of a worker process: every question becomes a frame to the core, many frames one write.

When the core is away nothing is accepted: open questions fail as temporary, new mail hears 421 or 451.
"""

import asyncio
from asyncio import Future
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from node.intake.door import DoorState, Sight, SignIn
from node.intake.errors import ChannelBrokenError, CoreAwayError
from node.intake.frames import (
    Admit,
    Admitted,
    Append,
    Appended,
    Counted,
    Done,
    Drained,
    Failed,
    FrameReader,
    FromCore,
    FromWorker,
    Held,
    Order,
    Serving,
    Sighted,
    State,
    Verified,
    Verify,
    Welcome,
    add_frame,
)
from node.intake.lane import WorkerLane
from node.spool.contract import Accepted, BodyFile
from node.telemetry.spread import Spread

if TYPE_CHECKING:
    from node.cluster.contract import Refusal

AWAY: Final = DoorState(accepting=False, reason="core")
SIGHTINGS_MAX: Final = 1000
"""Different sightings gathered before they are sent."""
SIGHTINGS_EVERY_S: Final = 1.0


class RemoteDoor(asyncio.Protocol):
    """Door over a socket to the core."""

    def __init__(self, on_order: Callable[[Order], None], on_lost: Callable[[], None]) -> None:
        """``on_order``: what the core wants besides answers; ``on_lost``: the core is gone."""
        self._on_order = on_order
        self._on_lost = on_lost
        self._reader = FrameReader(FromCore)
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._open: dict[int, Future[Any]] = {}
        self._out = bytearray()
        self._seq = 0
        self._state = AWAY
        self._bodies = Path()
        self.lane: WorkerLane | None = None
        """Where mail goes past the core's event loop; closed if the core does not want it so."""
        self._by_lane = self._lane_lost = False
        self._seen: Counter[tuple[str, Sight, str]] = Counter()
        self._seen_timer: asyncio.TimerHandle | None = None
        self.ready: Future[Welcome] = self._loop.create_future()
        """Done when the core has said welcome."""

    # What the protocol hears.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Frames from the core."""
        try:
            for frame in self._reader.feed(data):
                self._take(cast("FromCore", frame))
        except ChannelBrokenError:
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - given by asyncio
        """The core is gone: nothing asked is promised."""
        self._transport = None
        self._state = AWAY
        self._drop_lane()
        if self._seen_timer is not None:
            self._seen_timer.cancel()
        for future in self._open.values():
            if not future.done():
                future.set_exception(CoreAwayError("core process is away"))
        self._open.clear()
        if not self.ready.done():
            self.ready.set_exception(CoreAwayError("core process is away"))
        self._on_lost()

    def _take(self, frame: FromCore) -> None:
        match frame:
            case Appended(seqs=seqs):
                self.appended(seqs)
            case Admitted(seq=seq, refusal=refusal):
                self._answer(seq, refusal)
            case Verified(seq=seq, outcome=outcome):
                self._answer(seq, outcome)
            case Failed(seq=seq):
                future = self._open.pop(seq, None)
                if future is not None and not future.done():
                    future.set_exception(CoreAwayError("the core could not do it"))
            case State(state=state):
                self._state = state
            case Welcome(body_directory=directory, state=state, lane=lane):
                self._bodies, self._state = Path(directory), state
                self._welcomed(lane=lane)
                if not self.ready.done():
                    self.ready.set_result(frame)
            case _:
                self._on_order(frame)

    def appended(self, seqs: list[int]) -> None:
        """These are durable, as channel or lane say."""
        for seq in seqs:
            self._answer(seq, None)

    def lane_lost(self) -> None:
        """Without answers to what went by the lane there is no going on; before the welcome nothing went by it."""
        self._lane_lost = True
        if self._by_lane and self.lane is not None and self._transport is not None:
            self._transport.abort()

    def use(self, lane: WorkerLane) -> None:
        """Mail goes by this lane, unless the core does not want it so; a slow worker may have heard that before."""
        self.lane = lane
        if self.ready.done():
            self._settle_lane()

    def _welcomed(self, *, lane: bool) -> None:
        """The core wants mail by the lane or does not, and then closes its end, which may be noticed before this."""
        self._by_lane = lane
        self._settle_lane()

    def _settle_lane(self) -> None:
        if not self._by_lane:
            self._drop_lane()
        elif self._lane_lost:
            self.lane_lost()

    def _drop_lane(self) -> None:
        lane, self.lane = self.lane, None
        if lane is not None:
            lane.close()

    def _answer(self, seq: int, value: object) -> None:
        future = self._open.pop(seq, None)
        if future is not None and not future.done():
            future.set_result(value)

    # What the intake asks.

    def _send(self, frame: FromWorker) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        add_frame(self._out, frame)

    def _flush(self) -> None:
        out, self._out = self._out, bytearray()  # what was handed over is the transport's
        if self._transport is not None and out:
            self._transport.write(out)

    def _ask(self) -> tuple[int, "Future[Any]"]:
        """A number and the place its answer will appear; bounded by the sessions, each asks one thing at a time."""
        future: Future[Any] = self._loop.create_future()
        if self._transport is None:
            future.set_exception(CoreAwayError("core process is away"))
            return 0, future
        self._seq += 1
        self._open[self._seq] = future
        return self._seq, future

    def append(self, item: Accepted) -> "Future[None]":
        """Send the message to the core; done when it says durable."""
        seq, future = self._ask()
        if seq:
            body = item.body
            if isinstance(body, BodyFile):
                frame = Append(seq=seq, message=item.message, body=b"", path=body.path, size_bytes=body.size_bytes)
                self._send(frame)
            else:
                frame = Append(seq=seq, message=item.message, body=body)
                self._send(frame) if self.lane is None else self.lane.send(frame)
        return future

    def admit(self, client: str, recipients: int, held: int) -> "Future[Refusal | None]":
        """Ask the core's budgets."""
        seq, future = self._ask()
        if seq:
            self._send(Admit(seq=seq, client=client, recipients=recipients, held=held))
        return future

    def client_done(self, client: str, reserved: int, used: int) -> None:
        """Tell the core's budgets."""
        self._send(Done(client=client, reserved=reserved, used=used))

    def state(self) -> DoorState:
        """The state last pushed."""
        return self._state

    def sighting(self, client: str, what: Sight, address: str) -> None:
        """Gather; sent once a second."""
        self._seen[(client, what, address)] += 1
        if len(self._seen) >= SIGHTINGS_MAX:
            self.send_sightings()
        elif self._seen_timer is None:
            self._seen_timer = self._loop.call_later(SIGHTINGS_EVERY_S, self.send_sightings)

    def send_sightings(self) -> None:
        """Send what was gathered."""
        if self._seen_timer is not None:
            self._seen_timer.cancel()
            self._seen_timer = None
        for (client, what, address), amount in self._seen.items():
            self._send(Sighted(client=client, what=what.value, address=address, amount=amount))
        self._seen.clear()

    def counted(self, name: str, labels: dict[str, str], amount: int, spread: Spread | None = None) -> None:
        """Pass on what this process's meters gathered."""
        self._send(Counted(name=name, labels=labels, amount=amount, spread=spread))

    def new_body_path(self, message_id: str) -> Path:
        """In the spool's directory, as the core said."""
        return self._bodies / message_id

    async def verify(self, user: str, password: bytes, address: str) -> SignIn:
        """Ask the core's authenticator."""
        seq, future = self._ask()
        if seq:
            self._send(Verify(seq=seq, user=user, password=password, address=address))
        return cast("SignIn", await future)

    def serving(self) -> None:
        """Report that this worker listens."""
        self._send(Serving())

    def held(self) -> None:
        """Report the end of a hold's sessions."""
        self._send(Held())

    def drained(self, cut_off: int) -> None:
        """Report the end of the sessions."""
        self.send_sightings()
        self._send(Drained(cut_off=cut_off))
        self._flush()

    def close(self) -> None:
        """Hang up after everything said is out."""
        if self._seen:
            self.send_sightings()
        if self._out:
            self._flush()
        self._drop_lane()
        if self._transport is not None:
            self._transport.close()
