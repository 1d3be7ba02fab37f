"""Watches the local node through its administration socket: whether this host may hold an address (A16).

One connection stays open, asked every 100 ms: a node that was killed closes it, so that is known at once. An answer is
good for a second from when it was asked for; a node that hangs is not ready after that. What it holds it may keep a
little longer, as one that is merely slow goes on with what clients have begun. Whether its process has ended, so that
nothing it had open is open any more, is the kernel's word. Speaks just enough HTTP/1.1.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from coordinator.daemon.process import PeerProcess
from coordinator.runner import boottime_ms

BEAT_S: Final = 0.1
FRESH_MS: Final = 1_000
"""An older answer says nothing about now."""
HUNG_MS: Final = 3_000
"""After so long a silence a node that was ready hangs."""
HEAD_MAX: Final = 8 << 10
BODY_MAX: Final = 64 << 10
REASONS_MAX, REASON_MAX = 20, 300
TRIES_AT_ONCE: Final = 3
"""A connection may end without the node's end: so often it is made anew before the node counts as gone."""
QUESTION: Final = b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the node says; unknown fields are a newer version's."""

    ready: bool
    reasons: tuple[str, ...] = ()


NOBODY: Final = Answer(ready=False, reasons=("the node does not answer",))
GONE: Final = Answer(ready=False, reasons=("the node's process is gone",))
STALE: Final = Answer(ready=False, reasons=("the node has not answered for a second",))


class _Broken(Exception):  # noqa: N818 - how a connection ends
    """Closed, or something that is no answer."""


class NodeWatch:
    """The local node as last heard."""

    def __init__(self, socket: Path, changed: Callable[[], None], *, now_ms: Callable[[], int] = boottime_ms) -> None:
        """``changed`` is called when readiness, its reasons or the process changed, first of all when it is gone."""
        self.socket, self._changed, self._now_ms = socket, changed, now_ms
        self._answer = NOBODY
        self._asked_ms: int | None = None
        self._process: PeerProcess | None = None
        self._told = (NOBODY, False)

    @property
    def answer(self) -> Answer:
        """What counts now."""
        if self.ended:
            return GONE
        return STALE if self._answer.ready and not self.fresh else self._answer

    @property
    def fresh(self) -> bool:
        """Whether it said anything within the last second."""
        return self._is_within(FRESH_MS)

    @property
    def stands(self) -> bool:
        """Whether the last word was that it can take work, and it does not hang."""
        return self._answer.ready and not self.ended and self._is_within(HUNG_MS)

    @property
    def ended(self) -> bool:
        """Whether the process that listened last has ended, and no other listens yet."""
        return self._process is not None and self._process.ended

    @property
    def age_ms(self) -> int | None:
        """Since the question answered last; None: never answered."""
        return None if self._asked_ms is None else self._now_ms() - self._asked_ms

    async def run(self) -> None:
        """Ask until cancelled."""
        tries = 0
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(str(self.socket), limit=HEAD_MAX)
            except OSError:
                tries = 0
                self._set(GONE if self._asked_ms is not None else NOBODY)
                await self._pause()
                continue
            self._meet(PeerProcess.of(writer.get_extra_info("socket")))
            try:
                await self._converse(reader, writer)
            except (_Broken, OSError, TimeoutError):
                tries += 1
                self._tell()
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
            if tries >= TRIES_AT_ONCE:
                tries = 0
                self._tell()
                await self._pause()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Ask again and again on one connection; raises when it ends, or answers late or nonsense."""
        while True:
            sent_ms = self._now_ms()
            writer.write(QUESTION)
            async with asyncio.timeout(FRESH_MS / 1_000):
                answer = await _read(reader)
            self._asked_ms = sent_ms
            self._set(answer)
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await reader.read(1)
                    raise _Broken  # closed, or words nobody asked for

    async def _pause(self) -> None:
        await asyncio.sleep(BEAT_S)
        self._tell()

    def _meet(self, process: PeerProcess) -> None:
        if self._process is not None:
            self._process.close()
        self._process = process

    def _is_within(self, bound_ms: int) -> bool:
        return self._asked_ms is not None and self._now_ms() - self._asked_ms <= bound_ms

    def _set(self, answer: Answer) -> None:
        self._answer = answer
        self._tell()

    def _tell(self) -> None:
        now = (self.answer, self.ended)
        if now != self._told:
            self._told = now
            self._changed()


async def _read(reader: asyncio.StreamReader) -> Answer:
    """Read one response; raises _Broken for anything but an answer."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
        length = int(fields.get(b"content-length", b"-1"))
        if not 0 <= length <= BODY_MAX:
            raise _Broken
        answer = msgspec.json.decode(await reader.readexactly(length), type=Answer)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, msgspec.DecodeError, RecursionError):
        raise _Broken from None
    reasons = tuple(reason[:REASON_MAX] for reason in answer.reasons[:REASONS_MAX])
    return Answer(ready=answer.ready, reasons=reasons)
