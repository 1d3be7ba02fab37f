"""The lane: a worker's second socket, for mail alone. The spool's accepting thread reads it past the event loop.

It says what the channel says of mail, ``Append`` and ``Appended``, in one count: an answer may come by either.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, Final, cast

from node.intake.errors import ChannelBrokenError
from node.intake.frames import Append, Appended, FrameReader, RawAppend, add_frame, pack
from node.spool.contract import Accepted, BodyFile
from node.spool.inlets import Mail

log = logging.getLogger(__name__)
READ_BYTES: Final = 128 << 10


class CoreLane:
    """The core's end; implements ``Inlet``. Made in the event loop, used by the accepting thread."""

    def __init__(
        self, opened: socket.socket, detour: Callable[[int, Accepted], None], late: Callable[[list[int]], None]
    ) -> None:
        """Called in the loop: ``detour`` appends a message and answers it, ``late`` answers those that are durable."""
        opened.setblocking(False)
        self._socket = opened
        self._detour, self._late = detour, late
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader(RawAppend)
        self._space = bytearray(READ_BYTES)

    def fileno(self) -> int:
        """See ``Inlet``."""
        return self._socket.fileno()

    def read(self) -> list[Mail] | None:
        """See ``Inlet``; a worker that sends anything but mail here is cut off."""
        try:
            size = self._socket.recv_into(self._space)
            frames = cast("list[RawAppend]", self._reader.feed(memoryview(self._space)[:size]))
        except BlockingIOError:
            return []
        except OSError:
            return None
        except ChannelBrokenError as error:
            log.error("intake worker cut off: %s", error)  # noqa: TRY400 - the place is of no interest
            return None
        return [Mail(frame.seq, bytes(frame.message), frame.body) for frame in frames] if size else None

    def stored(self, numbers: list[int]) -> None:
        """See ``Inlet``. A worker that does not listen for a while hears it by its channel."""
        frame = pack(Appended(seqs=numbers))
        try:
            whole = self._socket.send(frame) == len(frame)
        except BlockingIOError:
            self._in_loop(self._late, numbers)
        except OSError:
            return  # the worker is gone
        else:
            if not whole:  # never seen; half a frame ends the lane, and with it the worker's sessions
                self._socket.shutdown(socket.SHUT_RDWR)

    def detour(self, number: int, item: Accepted) -> None:
        """See ``Inlet``."""
        self._in_loop(self._detour, number, item)

    def _in_loop(self, call: Callable[..., None], *given: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *given)

    def close(self) -> None:
        """See ``Inlet``."""
        self._socket.close()


def accepted(frame: Append) -> Accepted:
    """What a frame brings; a worker has synced the file it names (``spill.py``)."""
    body = BodyFile(path=frame.path, size_bytes=frame.size_bytes, synced=True) if frame.path else frame.body
    return Accepted(message=frame.message, body=body)


class WorkerLane(asyncio.Protocol):
    """The worker's end: mail of one turn of the loop goes out in one write."""

    def __init__(self, answered: Callable[[list[int]], None], lost: Callable[[], None]) -> None:
        """``answered`` hears what is durable; ``lost`` that there will be no more answers."""
        self._answered, self._lost = answered, lost
        self._reader = FrameReader(Appended)
        self._out = bytearray()
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answers."""
        try:
            for frame in cast("list[Appended]", self._reader.feed(data)):
                self._answered(frame.seqs)
        except ChannelBrokenError:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - given by asyncio
        """No answer comes any more."""
        self._lost()

    def send(self, frame: Append) -> None:
        """Send mail."""
        if not self._out:
            self._loop.call_soon(self._flush)
        add_frame(self._out, frame)

    def _flush(self) -> None:
        out, self._out = self._out, bytearray()  # what was handed over is the transport's
        if out and not self._transport.is_closing():
            self._transport.write(out)

    def close(self) -> None:
        """Hang up."""
        self._transport.close()
