"""The drivers that need no kernel: a load balancer's probe and a program."""

import asyncio
import os
from ipaddress import ip_address

import pytest

from coordinator.drivers.contract import DriverError
from coordinator.drivers.hook import HookDriver
from coordinator.drivers.probe import ProbeDriver, ProbeServer

VIP = ip_address("10.0.0.10")


async def get(port, path, raw=None):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw or f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.split(b"\r\n")[0].decode()


async def test_only_the_holder_answers_the_probe_and_only_for_its_time():
    now = [100.0]
    driver = ProbeDriver("smtp", lambda: now[0])
    server = ProbeServer((driver,))
    port = await server.start("127.0.0.1", 0)
    assert "503" in await get(port, "/vip/smtp")
    await driver.bind(3)
    assert "200" in await get(port, "/vip/smtp")
    now[0] += 3
    assert "503" in await get(port, "/vip/smtp")
    await driver.bind(3)
    await driver.remove()
    assert "503" in await get(port, "/vip/smtp")
    assert "404" in await get(port, "/vip/other")
    assert "404" in await get(port, "", b"\xff\xfe\r\n\r\n")
    assert await get(port, "", b"x" * 10_000 + b"\r\n\r\n") == ""
    assert await driver.probe() is False
    await server.close()


@pytest.fixture
def program(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("the hook must be root's")
    path = tmp_path / "hook"

    def write(body):
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path

    return write


async def test_the_hook_is_told_what_and_for_how_long(program, tmp_path):
    path = program(f'echo "$@" "$HOME$PATH_X" >> {tmp_path}/said')
    driver = HookDriver("smtp", VIP, path)
    await driver.bind(3)
    await driver.remove()
    assert (tmp_path / "said").read_text().split("\n")[:2] == ["gain smtp 10.0.0.10 3 ", "lose smtp 10.0.0.10 0 "]


async def test_a_hook_that_fails_or_hangs_is_said_so(program, monkeypatch):
    with pytest.raises(DriverError, match="status 3"):
        await HookDriver("smtp", VIP, program("exit 3")).bind(3)
    monkeypatch.setattr("coordinator.drivers.hook.TIMEOUT_S", 0.2)
    with pytest.raises(DriverError, match="not done"):
        await HookDriver("smtp", VIP, program("exec sleep 30")).remove()


def test_a_hook_others_may_change_is_refused(program):
    path = program("true")
    path.chmod(0o777)
    with pytest.raises(DriverError, match="root alone"):
        HookDriver("smtp", VIP, path)
    with pytest.raises(DriverError, match="absolute"):
        HookDriver("smtp", VIP, path.relative_to("/"))
