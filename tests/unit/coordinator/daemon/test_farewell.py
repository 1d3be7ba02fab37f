"""Asking the node to see sessions out: it is waited for, but never for long, and its absence is no fault."""

import asyncio
import re
from ipaddress import ip_address
from pathlib import Path

from aiohttp import web

from coordinator.daemon import farewell
from coordinator.timing import STEADY
from node.app import retreat

UNIT = Path(__file__).parents[4] / "ansible/roles/relay/templates/relay-coordinator.service.j2"
ADDRESS = ip_address("10.0.0.1")


async def node(path, handler):
    app = web.Application()
    app.router.add_post("/v1/part", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    return runner


def test_everybody_waits_longer_than_whoever_is_waited_for():
    (stop_s,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE)
    assert retreat.PART_S + retreat.LAST_S + retreat.HANDSHAKE_S < farewell.PART_S
    assert farewell.PART_S < farewell.leave_s(STEADY) < int(stop_s)


async def test_the_node_is_asked_and_waited_for(tmp_path):
    asked, free = [], asyncio.Event()

    async def part(request):
        asked.append(await request.json())
        await free.wait()
        return web.json_response({"parted": True})

    runner = await node(tmp_path / "s", part)
    waiting = asyncio.create_task(farewell.see_out(tmp_path / "s", ADDRESS))
    async with asyncio.timeout(10):
        while not asked:  # noqa: ASYNC110 - by another task
            await asyncio.sleep(0.01)
        assert asked == [{"address": "10.0.0.1"}]
        assert not waiting.done()
        free.set()
        await waiting
    await runner.cleanup()


async def test_nobody_an_older_version_or_one_that_hangs_is_no_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(farewell, "PART_S", 0.1)
    await farewell.see_out(tmp_path / "s", ADDRESS)

    async def unknown(_request):
        raise web.HTTPNotFound

    async def hangs(_request):
        await asyncio.sleep(60)

    for name, handler in (("o", unknown), ("h", hangs)):
        runner = await node(tmp_path / name, handler)
        async with asyncio.timeout(10):
            await farewell.see_out(tmp_path / name, ADDRESS)
        await runner.cleanup()
