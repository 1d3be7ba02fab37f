"""Gates on loopback: what passes, what stands still while cut, and what arrives once healed."""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.rehearsal.drill.faults import Kind
from node.rehearsal.drill.gates import Gates
from node.rehearsal.drill.network import OUTSIDE, Cut, Service, Wire
from node.rehearsal.drill.skewed import set_ahead

BOUND_S = 20.0
HOST_A = Cut(kind=Kind.CUT_HOST, node="a")


class Far:
    """What is behind a gate: echoes, and remembers what came."""

    def __init__(self):
        self.heard, self.ended, self.came = b"", asyncio.Event(), 0

    async def serve(self, reader, writer):
        self.came += 1
        try:
            while data := await reader.read(100):
                self.heard += data
                writer.write(data.upper())
                await writer.drain()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.ended.set()
            writer.transport.abort()


@asynccontextmanager
async def gated(source="b"):
    far = Far()
    async with asyncio.timeout(BOUND_S), await asyncio.start_server(far.serve, "127.0.0.1", 0) as server:
        wire = Wire(host="a", service=Service.PEERS, listen=("127.0.0.1", 0), target=server.sockets[0].getsockname())
        gates = Gates([wire], lambda *_: source)
        (port,) = await gates.start()
        try:
            yield far, gates, port
        finally:
            await gates.close()


@asynccontextmanager
async def connected(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def silent(reader):
    """Nothing comes, though there was time for it."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await reader.read(1)


async def test_everything_passes_and_so_does_the_end():
    async with gated() as (far, _, port), connected(port) as (reader, writer):
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"HELLO"
        writer.write_eof()
        assert await reader.read() == b""
        await far.ended.wait()


async def test_a_cut_holds_what_is_sent_and_healing_brings_it():
    async with gated() as (far, gates, port), connected(port) as (reader, writer):
        writer.write(b"one")
        assert await reader.readexactly(3) == b"ONE"
        assert gates.cut(HOST_A) == 1
        writer.write(b"two")
        await silent(reader)
        assert far.heard == b"one"
        gates.heal()
        assert await reader.readexactly(3) == b"TWO"


async def test_neither_end_nor_reset_passes_a_cut():
    for leave in ("close", "abort"):
        async with gated() as (far, gates, port), connected(port) as (reader, writer):
            writer.write(b"one")
            await reader.readexactly(3)
            gates.cut(HOST_A)
            getattr(writer.transport, leave)()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await far.ended.wait()
            gates.heal()
            await far.ended.wait()


async def test_a_new_connection_hears_nothing_until_healed():
    async with gated() as (far, gates, port):
        gates.cut(HOST_A)
        async with connected(port) as (reader, writer):
            writer.write(b"hi")
            await silent(reader)
            assert far.came == 0
            gates.heal()
            assert await reader.readexactly(2) == b"HI"


async def test_what_does_not_concern_the_cut_host_passes():
    async with gated() as (_, gates, port), connected(port) as (reader, writer):
        writer.write(b"one")
        await reader.readexactly(3)
        assert gates.cut(Cut(kind=Kind.CUT_UPSTREAM, node="a")) == 0
        assert gates.cut(Cut(kind=Kind.CUT_HOST, node="c")) == 0
        writer.write(b"two")
        assert await reader.readexactly(3) == b"TWO"


async def test_a_host_is_not_cut_off_from_itself():
    async with gated(source="a") as (_, gates, port):
        gates.cut(HOST_A)
        async with connected(port) as (reader, writer):
            writer.write(b"one")
            assert await reader.readexactly(3) == b"ONE"


async def test_nobody_behind_a_gate_is_a_reset():
    wire = Wire(host="a", service=Service.CLIENTS, listen=("127.0.0.1", 0), target=("127.0.0.1", 1))
    gates = Gates([wire], lambda *_: OUTSIDE)
    (port,) = await gates.start()
    try:
        async with asyncio.timeout(BOUND_S):
            async with connected(port) as (reader, _):
                with pytest.raises(ConnectionResetError):
                    await reader.readexactly(1)
    finally:
        await gates.close()


def test_the_keeper_tells_hosts_apart_by_their_processes(tmp_path):
    """Two processes, one address: one of them is host b and cut off, the other passes."""
    mine = tmp_path / "b.pid"
    mine.write_text(f"{os.getpid()}\n")
    asyncio.run(_kept(mine))


async def _kept(mine):
    far = Far()
    async with asyncio.timeout(BOUND_S), await asyncio.start_server(far.serve, "127.0.0.1", 0) as server:
        target = server.sockets[0].getsockname()
        wires = [{"host": "a", "service": "peers", "listen": ["127.0.0.1", 0], "target": target}]
        keeper = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "node.rehearsal.drill.gatekeeper",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip

        async def order(value):
            keeper.stdin.write(json.dumps(value).encode() + b"\n")
            return json.loads(await keeper.stdout.readline())

        (port,) = (await order({"wires": wires, "pid_files": {str(mine): "b"}}))["ports"]
        async with connected(port) as (reader, writer):
            writer.write(b"one")
            await reader.readexactly(3)
            assert (await order({"cut": {"kind": "cut-host", "node": "b"}}))["still"] == 1
            writer.write(b"two")
            await silent(reader)
            script = (
                f"import socket; s = socket.create_connection(('127.0.0.1', {port})); s.send(b'x'); print(s.recv(1))"
            )
            other = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
            assert (await other.communicate())[0].strip() == b"b'X'", "a stranger is not host b"
            assert (await order({}))["still"] == 0
            assert await reader.readexactly(3) == b"TWO"
            keeper.stdin.close()
            assert await keeper.wait() == 0


def test_a_clock_is_set_for_one_process_alone(tmp_path):
    file = tmp_path / "clock"
    set_ahead(file, 3_600)
    probe = tmp_path / "probe.py"
    probe.write_text(
        "import sys, time\nfrom datetime import UTC, datetime\nfrom time import time_ns\n"
        "print(time.time(), time_ns() / 1e9, datetime.now(UTC).timestamp(), sys.argv[1:], flush=True)\n"
        "input()\nprint(time.time())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "node.rehearsal.drill.skewed", str(file), "probe", "a", "b"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', str(Path.cwd()))}"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    wall, wall_ns, true, *words = process.stdout.readline().split(maxsplit=3)
    assert 3_500 < float(wall) - float(true) < 3_700
    assert abs(float(wall_ns) - float(wall)) < 100
    assert [word.strip() for word in words] == ["['a', 'b']"]
    set_ahead(file, 0)
    later, _ = process.communicate("\n", timeout=BOUND_S)
    assert float(later) - float(true) < 1_000, "it was set back while it ran"
    assert process.returncode == 0
