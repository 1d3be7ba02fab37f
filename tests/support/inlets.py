"""A lane as the core has it, with its worker's end in the hand of a test."""

import asyncio
import contextlib
import socket

from node.intake.frames import Append, Appended, FrameReader, pack
from node.intake.lane import CoreLane


class Lane:
    """``lane.core`` is what a spool is fed with; ``send`` and ``answers`` are the worker's."""

    def __init__(self):
        ours, self.worker = socket.socketpair()
        self.worker.setblocking(False)
        self.detoured, self.late = [], []
        self.core = CoreLane(ours, lambda number, item: self.detoured.append((number, item)), self.late.extend)
        self._reader = FrameReader(Appended)

    def send(self, number, message, body):
        self.worker.sendall(pack(Append(seq=number, message=message, body=body)))

    def answers(self):
        """Numbers answered since the last time."""
        try:
            data = self.worker.recv(1 << 20)
        except BlockingIOError:
            return []
        return [number for frame in self._reader.feed(data) for number in frame.seqs]

    async def answered(self, count, bound_s=20.0):
        """Wait for so many answers."""
        found = []
        async with asyncio.timeout(bound_s):
            while len(found) < count:
                found += self.answers()
                await asyncio.sleep(0.002)
        return found

    def close(self):
        self.worker.close()
        self.core.close()


@contextlib.contextmanager
def making_lanes():
    """What makes lanes; they are closed at the end."""
    with contextlib.ExitStack() as stack:

        def make():
            lane = Lane()
            stack.callback(lane.close)
            return lane

        yield make


async def until(condition, bound_s=20.0):
    """Wait for something, at most so long."""
    async with asyncio.timeout(bound_s):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in a thread
            await asyncio.sleep(0.002)
