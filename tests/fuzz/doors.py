"""Readers that need a house around them: a real front door over a real spool, and the configuration."""

import asyncio
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from zlib import crc32

from node.errors import ConfigurationError
from node.intake.local import LocalDoor
from node.intake.server import IntakeServer
from node.settings.reader import Surroundings, read
from node.settings.rules import intake_rules
from node.settings.sources import Source
from node.spool.contract import Filter
from node.spool.sqlite import SqliteSpool
from tests.fuzz.target import Read, Target, pure
from tests.support.intake_house import Ears, Purse, settings_of
from tests.support.settings_files import CLIENTS, PRODUCTION, SMALLEST, TENANT

REPLY = re.compile(rb"(?:[245]\d\d|3[35]4)[ -][ -~]*\r\n")
END = b"\r\n.\r\n"
ANSWER_S = 10.0
LISTENERS = {
    "smtp": {"port": 0, "address": "127.0.0.1", "tls": "none"},
    "old": {"port": 0, "address": "127.0.0.1", "tls": "none", "profile": "legacy", "networks": ["127.0.0.0/8"]},
    "balanced": {"port": 0, "address": "127.0.0.1", "tls": "none", "proxy_from": ["127.0.0.0/8"]},
}
AROUND = Surroundings(host="relay-a", here=False)


class Complaints(logging.Handler):
    """Whatever the product, or the loop, calls an error while one input is read."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage() + str(record.exc_info or ""))


class Front:
    """The front door and its spool, on the loop of this thread, so that its steps are seen."""

    def __init__(self, home: Path) -> None:
        self._home, self._complaints = home, Complaints()

    async def open(self) -> None:
        settings = settings_of(self._home, listeners=LISTENERS)
        now_ms = lambda: time.time_ns() // 1_000_000  # noqa: E731
        self._spool = SqliteSpool(settings.spool, now_ms=now_ms)
        await self._spool.open(now_ms())
        door = LocalDoor(self._spool, Purse(), verifier=None)
        self._server = IntakeServer(settings, intake_rules(settings, "relay.test"), door, Ears())
        await self._server.start()
        logging.getLogger().addHandler(self._complaints)

    async def close(self) -> None:
        logging.getLogger().removeHandler(self._complaints)
        await self._server.close()
        await self._spool.close()

    async def read(self, data: bytes) -> None:
        """One session: everything sent in pieces, everything answered read; then the laws."""
        chance = Random(crc32(data))
        name = ("smtp", "old", "balanced")[data[0] % 3] if data else "smtp"
        async with asyncio.timeout(ANSWER_S):
            said = await self._session(self._server.ports[name], data[1:], chance)
        lines = said.splitlines(keepends=True)
        assert all(map(REPLY.fullmatch, lines)), f"no reply: {[one for one in lines if not REPLY.fullmatch(one)][:2]}"
        promised = sum(b"queued as" in line for line in lines)
        assert promised <= data.count(END) + (name == "old") * data.count(b"\n.\r\n"), "more messages than ends of data"
        assert not self._complaints.heard, self._complaints.heard.pop()

    async def _session(self, port: int, data: bytes, chance: Random) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            listening = asyncio.create_task(reader.read(-1))
            with suppress(OSError):  # the door may have closed meanwhile
                for piece in _pieces(data, chance):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                writer.write_eof()
            try:
                return await listening
            except OSError:
                return b""
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def kept(self) -> int:
        return len(await self._spool.find(Filter(limit=100)))


def _pieces(data: bytes, chance: Random) -> Iterator[bytes]:
    if chance.random() < 0.5:
        yield data
        return
    at = 0
    while at < len(data):
        size = chance.choice((1, 7, 60, 900))
        yield data[at : at + size]
        at += size


@contextmanager
def front(home: Path) -> Iterator[Read]:
    with asyncio.Runner() as runner:
        house = Front(home)
        runner.run(house.open())
        try:
            yield lambda data: runner.run(house.read(data))
        finally:
            runner.run(house.close())


def configuration(data: bytes) -> None:
    text, faults = data.decode("utf-8", "replace"), ["fuzz: none"]
    try:
        read(Source(name="fuzz", text=text), base=SMALLEST.parent / "none", around=AROUND)
    except ConfigurationError as error:
        faults = error.faults
    assert faults
    assert all("\n" not in fault and fault.startswith("fuzz:") for fault in faults)


HELLO, MAIL, RCPT = b"EHLO c.test\r\n", b"MAIL FROM:<app@contoso.com>\r\n", b"RCPT TO:<a@example.com>\r\n"
TEXT = b"From: app@contoso.com\r\nSubject: x\r\n\r\nhello\r\n.\r\n"
WHOLE = HELLO + MAIL + RCPT + b"DATA\r\n" + TEXT + b"QUIT\r\n"
V1 = b"PROXY TCP4 127.0.0.9 127.0.0.1 4711 25\r\n"
TARGETS = (
    Target(name="smtp", open=front, watched=("node/intake", "node/policy"), input_max=16_384,
           tokens=(HELLO, MAIL, RCPT, b"DATA\r\n", TEXT, END, b"\r\n", b"\n", b"\r", b"\0", b"RSET\r\n", b"NOOP\r\n",
                   b"QUIT\r\n", b"STARTTLS\r\n", b"AUTH PLAIN AGEAYg==\r\n", b"AUTH LOGIN\r\n", b"AUTH XOAUTH2 ",
                   b"*\r\n",
                   b"BDAT 5 LAST\r\n", b"VRFY a\r\n", b"HELP\r\n", b"EXPN a\r\n", b" SIZE=99999999999999999999",
                   b" NOTIFY=NEVER",
                   b" SMTPUTF8", b" BODY=8BITMIME", b" MT-PRIORITY=9", b"HELO x\r\n", V1, "é".encode(),
                   b"XCLIENT ADDR=1\r\n"),
           seeds=(b"\0" + WHOLE, b"\1" + WHOLE, b"\2" + V1 + WHOLE,
           b"\0" + HELLO + MAIL + RCPT + RCPT + b"RSET\r\n" + MAIL,
                  b"\0" + HELLO + b"AUTH LOGIN\r\nYQ==\r\nYg==\r\n", b"\1" + WHOLE.replace(b"\r\n", b"\n"),
                  b"\0" + HELLO + MAIL + RCPT + b"DATA\r\n" + TEXT + MAIL + RCPT + b"DATA\r\n" + TEXT)),
    Target(name="configuration", open=pure(configuration), watched=("node/settings", "coordinator/settings"),
           input_max=12_000,
           tokens=(b": ", b"\n  ", b"- ", b"[", b"]", b"{", b"}", b"&a", b"*a", b"!!python/name:os.system", b"<<: ",
           b"? ", b"|\n",
                   b"30/min", b"10m", b"35MiB", b"@", b"\t", b"0x", b"~", b"2026-01-01", b"1e9", b".inf",
                   "\u2028".encode()),
           seeds=(SMALLEST.read_bytes(), PRODUCTION.read_bytes(), (TENANT + CLIENTS).encode())),
)  # fmt: skip
