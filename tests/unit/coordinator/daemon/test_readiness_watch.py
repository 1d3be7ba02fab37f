"""The local node as its administration socket shows it: killed, frozen, talking nonsense."""

import asyncio
import json
import signal
import sys
import time
from contextlib import asynccontextmanager

import pytest

from coordinator.daemon import readiness
from coordinator.daemon.readiness import GONE, NOBODY, STALE, NodeWatch


class Node:
    """A real server on a real socket that says what it is told to."""

    def __init__(self, path):
        self.path, self.said, self.free = path, {"ready": True, "reasons": []}, asyncio.Event()
        self.free.set()
        self.raw, self.asked, self.writers = None, 0, []

    async def start(self):
        self.path.unlink(missing_ok=True)
        self.server = await asyncio.start_unix_server(self._serve, self.path)

    async def die(self):
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader, writer):
        self.writers.append(writer)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.asked += 1
                await self.free.wait()
                body = json.dumps(self.said).encode()
                status = b"200 OK" if self.said["ready"] else b"503 Service Unavailable"
                head = b"HTTP/1.1 " + status + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
                writer.write(self.raw or head + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def watched(tmp_path):
    node, told = Node(tmp_path / "admin.sock"), []
    watch = NodeWatch(node.path, lambda: told.append((time.monotonic(), watch.answer)))
    task = asyncio.create_task(watch.run())
    try:
        yield node, watch, told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if hasattr(node, "server"):
            await node.die()


async def until(condition, within_s=5):
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)


async def heard(node, watch):
    """Have the node listen and say that it is ready."""
    await node.start()
    await until(lambda: watch.answer.ready)


async def test_says_what_the_node_says_and_wakes_at_every_change(tmp_path):
    async with watched(tmp_path) as (node, watch, told):
        assert watch.answer == NOBODY
        assert watch.age_ms is None
        await heard(node, watch)
        node.said = {"ready": False, "reasons": ["disk full"], "new": 1}
        await until(lambda: not watch.answer.ready)
        assert watch.answer.reasons == ("disk full",)
        assert [answer.ready for _, answer in told] == [True, False]
        await until(lambda: node.asked > 4)
        assert len(node.writers) == 1, "one connection for all questions"


async def test_a_killed_node_is_noticed_at_once_and_its_successor_found(tmp_path):
    async with watched(tmp_path) as (node, watch, told):
        await heard(node, watch)
        died = time.monotonic()
        await node.die()
        await until(lambda: not watch.answer.ready)
        assert watch.answer == GONE
        assert told[-1][0] - died < readiness.BEAT_S / 2, "by the end of the connection, not by the next question"
        await heard(node, watch)


async def test_a_lost_connection_alone_is_not_the_nodes_end(tmp_path):
    async with watched(tmp_path) as (node, watch, told):
        await heard(node, watch)
        for _ in range(3):
            asked = node.asked
            node.writers[-1].transport.abort()
            await until(lambda asked=asked: node.asked > asked + 1)
        assert [answer.ready for _, answer in told] == [True]


async def test_an_old_answer_says_nothing_about_now(tmp_path):
    async with watched(tmp_path) as (node, watch, _):
        await heard(node, watch)
        node.free.clear()
        await until(lambda: not watch.answer.ready)
        assert watch.answer == STALE
        assert watch.stands, "it may be slow and no more"
        node.free.set()
        await until(lambda: watch.answer.ready)


async def test_a_node_that_hangs_stands_no_more_though_its_process_lives(tmp_path):
    async with watched(tmp_path) as (node, watch, _):
        await heard(node, watch)
        node.free.clear()
        await until(lambda: not watch.stands)
        assert watch.age_ms > readiness.HUNG_MS
        node.free.set()
        await until(lambda: watch.stands)


async def test_one_that_says_it_is_not_ready_stands_no_more_at_once(tmp_path):
    async with watched(tmp_path) as (node, watch, _):
        await heard(node, watch)
        assert watch.stands
        node.said = {"ready": False, "reasons": ["disk full"]}
        await until(lambda: not watch.stands)
        assert watch.fresh


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"a"',
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\xff\xff\xff\xff",
        b"x" * 100_000,
    ],
)
async def test_nonsense_is_not_readiness(tmp_path, raw):
    async with watched(tmp_path) as (node, watch, _):
        node.raw = raw
        await node.start()
        await until(lambda: node.asked > 4)
        assert not watch.answer.ready
        node.raw = None
        await until(lambda: watch.answer.ready)


NODE = """
import http.server, socketserver, sys
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "14")
        self.end_headers()
        self.wfile.write(b'{"ready":true}')
    def log_message(self, *_):
        pass
    def address_string(self):
        return ""
socketserver.ThreadingUnixStreamServer(sys.argv[1], Answer).serve_forever()
"""


@asynccontextmanager
async def process(path):
    path.unlink(missing_ok=True)
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", NODE, str(path))
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def test_a_process_that_stands_still_has_not_ended_and_one_that_was_killed_has(tmp_path):
    async with watched(tmp_path) as (node, watch, told):
        async with process(node.path) as child:
            await until(lambda: watch.answer.ready)
            child.send_signal(signal.SIGSTOP)
            await until(lambda: not watch.answer.ready)
            assert not watch.ended
            child.kill()
            await until(lambda: watch.ended)
            assert watch.answer == GONE
            await until(lambda: told[-1][1] == GONE)  # who publishes it is woken
        async with process(node.path):
            await until(lambda: watch.answer.ready)
            assert not watch.ended
