"""The audit's way to syslog: to a real local socket, over real TCP and TLS; receivers that are away, hang or close."""

import asyncio
import re
import socket
import ssl
import threading

import pytest
import trustme

from node.app import syslog
from node.app.syslog import Shipper
from node.audit import Audit
from node.tls.client import client_context

ENTRY = {"at": "2026-11-30T10:00:00.123+00:00", "event": "queue changed", "actor": "ann", "n": 1, "hash": "ab"}
HEAD = rb"<85>1 \S+ n1 relay-node \d+ audit "
SHOWN = rb'\[audit@32473 n="(\d+)" hash="(\w+)" actor="([^"]*)"[^]]*\] '
PATTERN = re.compile(HEAD + SHOWN + rb"\xef\xbb\xbf(.*)", re.DOTALL)


@pytest.fixture(autouse=True)
def brisk(monkeypatch):
    monkeypatch.setattr(syslog, "PAUSE_FIRST_S", 0.02)
    monkeypatch.setattr(syslog, "PAUSE_MOST_S", 0.1)


async def until(check) -> None:
    async with asyncio.timeout(60):
        while not check():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


class Running:
    def __init__(self, to: str, tls=client_context) -> None:
        self.lost = 0
        self.shipper = Shipper(to, facility="authpriv", host="n1", tls=tls, lost=self._lost)

    def _lost(self, number: int) -> None:
        self.lost += number

    async def __aenter__(self):
        self.task = asyncio.create_task(self.shipper.run())
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class Receiver:
    """Reads messages with their length before them."""

    def __init__(self) -> None:
        self.got, self.connections = asyncio.Queue(), 0
        self.port, self.server = 0, None
        self.close_after = 0

    async def open(self, context=None) -> str:
        self.server = await asyncio.start_server(self._read, "127.0.0.1", self.port, ssl=context)
        self.port = self.server.sockets[0].getsockname()[1]
        return f"{'tls' if context else 'tcp'}://127.0.0.1:{self.port}"

    async def _read(self, reader, writer) -> None:
        self.connections += 1
        try:
            while True:
                size = int(await reader.readuntil(b" "))
                await self.got.put(await reader.readexactly(size))
                if self.close_after:
                    self.close_after = 0
                    break
        except asyncio.IncompleteReadError:
            pass
        writer.close()

    async def next(self) -> bytes:
        async with asyncio.timeout(60):
            return await self.got.get()

    async def close(self) -> None:
        self.server.close()
        await self.server.wait_closed()


async def test_entries_of_the_audit_come_to_the_local_socket_in_order(tmp_path):
    path = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.settimeout(60)
        async with Running(f"unix:{path}") as running:
            audit = Audit(tmp_path / "audit", "n1", tell=running.shipper.say)
            for number in range(3):
                await asyncio.to_thread(audit.write, {"actor": f"ann{number}", "event": "did", "facts": {"why": "x"}})
            got = [await asyncio.to_thread(receiver.recv, 65536) for _ in range(3)]
    found = [PATTERN.fullmatch(each).groups() for each in got]
    assert [(n, actor, text) for n, _, actor, text in found] == [
        (str(number + 1).encode(), f"ann{number}".encode(), b'did {"why": "x"}') for number in range(3)
    ]
    lines = next((tmp_path / "audit").iterdir()).read_text().splitlines()
    assert [digest.decode() in line for (_, digest, _, _), line in zip(found, lines, strict=True)] == [True] * 3


async def test_tcp_carries_each_with_its_length_and_goes_on_when_the_receiver_comes_back():
    receiver = Receiver()
    to = await receiver.open()
    await receiver.close()
    async with Running(to) as running:
        running.shipper.say(ENTRY)
        running.shipper.say({**ENTRY, "n": 2})
        await receiver.open()
        assert [PATTERN.fullmatch(await receiver.next())[1] for _ in range(2)] == [b"1", b"2"]
        receiver.close_after = 1
        running.shipper.say({**ENTRY, "n": 3})
        assert PATTERN.fullmatch(await receiver.next())[1] == b"3"
        await asyncio.wait([running.shipper._line._ended], timeout=60)
        running.shipper.say({**ENTRY, "n": 4})
        assert PATTERN.fullmatch(await receiver.next())[1] == b"4"
        assert running.lost == 0
    await receiver.close()


async def test_tls_is_used_and_a_receiver_with_a_strange_certificate_gets_nothing(tmp_path):
    authority, strange = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for issuer, comes in ((authority, True), (strange, False)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issuer.issue_cert("127.0.0.1").configure_cert(context)
        receiver = Receiver()
        to = await receiver.open(context)
        async with Running(to, lambda: client_context(tmp_path / "ca.pem")) as running:
            running.shipper.say(ENTRY)
            if comes:
                assert PATTERN.fullmatch(await receiver.next())[3] == b"ann"
            else:
                await until(lambda shipper=running.shipper: shipper._silent)
                assert receiver.got.empty()
        await receiver.close()


async def test_a_receiver_that_is_away_costs_a_bounded_queue_and_the_lost_are_counted(monkeypatch):
    monkeypatch.setattr(syslog, "QUEUE_MAX", 5)
    async with Running("unix:/nowhere/at/all") as running:
        thread = threading.Thread(target=lambda: [running.shipper.say({**ENTRY, "n": n}) for n in range(12)])
        thread.start()
        await asyncio.to_thread(thread.join)
        assert (len(running.shipper._waiting), running.lost) == (5, 7)
        assert [PATTERN.fullmatch(each)[1] for each in running.shipper._waiting] == [b"7", b"8", b"9", b"10", b"11"]
