"""The netlink driver against real kernels: lifetimes, announcements, probes, a second claimant."""

import asyncio
import time
from ipaddress import ip_address

import pytest

from coordinator.drivers import neighbours, netlink
from coordinator.drivers.contract import DriverError
from coordinator.drivers.frames import claim_of
from coordinator.drivers.neighbours import Neighbours
from coordinator.drivers.netlink import NetlinkDriver
from coordinator.timing import KERNEL_ALLOWANCE_MS, KERNEL_ALLOWANCE_V6_MS
from tests.support.namespaces import Lan, sh

VIPS = ["10.9.0.100", "fd09::100"]


@pytest.fixture
def lan():
    with Lan(2) as made:
        yield made


@pytest.mark.parametrize("vip", VIPS)
def test_bound_with_a_lifetime_and_gone_by_itself(lan, vip):
    async def main():
        driver = NetlinkDriver(ip_address(vip), "eth0")
        await driver.bind(30)
        line = next(line for line in lan.addresses(0).splitlines() if f" {vip}/" in line)
        assert f"{vip}/{'128' if ':' in vip else '32'} " in line
        assert "deprecated" in line
        assert "tentative" not in line
        assert "preferred_lft 0sec" in line
        assert 28 <= await driver.left_s() <= 30
        begun = time.monotonic()
        await driver.bind(1)
        while await driver.left_s() is not None:
            assert time.monotonic() - begun < 10
            await asyncio.sleep(0.02)
        lasted = time.monotonic() - begun
        await driver.close()
        return lasted

    late_s = lan.run(0, main) - 1
    assert -0.1 <= late_s < (KERNEL_ALLOWANCE_V6_MS if ":" in vip else KERNEL_ALLOWANCE_MS) / 1_000
    assert "10.9.0.1/24" in lan.addresses(0), "the host's own address stays"


@pytest.mark.parametrize("vip", VIPS)
def test_removed_means_read_back_as_gone(lan, vip):
    async def main():
        driver = NetlinkDriver(ip_address(vip), "eth0")
        await driver.remove()
        await driver.bind(30)
        await driver.remove()
        assert await driver.left_s() is None
        await driver.close()

    lan.run(0, main)
    assert vip + "/" not in lan.addresses(0)


def test_a_successor_cleans_what_a_killed_process_left(lan):
    async def killed():
        driver = NetlinkDriver(ip_address(VIPS[0]), "eth0")
        await driver.bind(60)
        await driver.close()  # its sockets go with a process, what the kernel was told stays

    async def successor():
        driver = NetlinkDriver(ip_address(VIPS[0]), "eth0")
        await driver.clean()
        await driver.close()

    lan.run(0, killed)
    assert VIPS[0] in lan.addresses(0)
    lan.run(0, successor)
    assert VIPS[0] not in lan.addresses(0)


@pytest.mark.parametrize("vip", VIPS)
def test_a_probe_finds_who_has_it_and_only_then(lan, vip):
    async def main():
        driver = NetlinkDriver(ip_address(vip), "eth0")
        free = await driver.probe()
        length = "128" if ":" in vip else "32"
        sh("ip", "-n", lan.hosts[1], "addr", "add", f"{vip}/{length}", "dev", "eth0", *(["nodad"] * (length == "128")))
        taken = await driver.probe()
        await driver.close()
        return free, taken

    assert lan.run(0, main) == (False, True)


@pytest.mark.parametrize("vip", VIPS)
def test_gaining_is_announced_and_a_second_claimant_is_heard(lan, vip, monkeypatch):
    monkeypatch.setattr(neighbours, "PAUSE_S", 0.02)
    heard = []

    async def listen():
        told = asyncio.Event()
        listener = Neighbours("eth0", ip_address(vip), lambda mac: (heard.append(mac), told.set()))
        await asyncio.to_thread(lan.run, 1, gain)
        async with asyncio.timeout(10):
            while len(heard) < neighbours.BURST:
                told.clear()
                await told.wait()
        listener.close()

    async def gain():
        driver = NetlinkDriver(ip_address(vip), "eth0")
        await driver.bind(5)
        await asyncio.sleep(0.3)
        await driver.close()

    lan.run(0, listen)
    assert len(set(heard)) == 1


def test_one_socket_serves_a_holder_for_as_long_as_nothing_fails(lan, monkeypatch):
    """It is asked four times a second for months: nothing may be left in it, and a fault must not stay."""
    opened = []

    class Counted(netlink.AsyncIPRoute):
        def __init__(self):
            super().__init__()
            opened.append(self)

    monkeypatch.setattr(netlink, "AsyncIPRoute", Counted)

    async def main():
        driver = NetlinkDriver(ip_address(VIPS[0]), "eth0")
        for _ in range(50):
            await driver.bind(30)
        await driver.remove()
        queues = opened[0].msg_queue.queues
        assert len(opened) == 1
        assert {tag: queue.qsize() for tag, queue in queues.items()} == {0: 0}
        lone = NetlinkDriver(ip_address(VIPS[0]))
        sh("ip", "-n", lan.hosts[0], "addr", "del", "10.9.0.1/24", "dev", "eth0")
        with pytest.raises(DriverError, match="no interface of this host"):
            await lone.bind(30)
        sh("ip", "-n", lan.hosts[0], "addr", "add", "10.9.0.1/24", "dev", "eth0")
        await lone.bind(30)
        assert await lone.left_s() is not None
        for each in (driver, lone):
            await each.close()
        return len(opened)

    assert lan.run(0, main) == 3


def test_what_cannot_be_read_back_is_neither_kept_nor_announced(lan, monkeypatch):
    """Whoever binds it next must not hear of a second claimant that believes it has nothing."""

    reads = netlink._addresses

    async def once(_route):
        monkeypatch.setattr(netlink, "_addresses", reads)
        raise DriverError("reading this host's addresses: fault of this test")

    async def main():
        driver = NetlinkDriver(ip_address(VIPS[0]), "eth0")
        await driver.clean()
        monkeypatch.setattr(netlink, "_addresses", once)
        with pytest.raises(DriverError, match="fault of this test"):
            await driver.bind(30)
        assert await driver.left_s() is None
        assert driver._neighbours._speaking is None
        await driver.close()

    lan.run(0, main)


def test_clear_words_for_what_cannot_be(lan):
    async def main():
        driver = NetlinkDriver(ip_address(VIPS[0]), "nosuch")
        with pytest.raises(DriverError, match="no interface named nosuch"):
            await driver.bind(5)
        with pytest.raises(DriverError, match="no raw socket"):
            await driver.probe()
        with pytest.raises(DriverError, match="none"):
            await NetlinkDriver(ip_address(VIPS[0]), "eth0").bind(0)

    lan.run(0, main)


@pytest.mark.parametrize(
    "frame", [b"", b"x" * 13, b"x" * 12 + b"\x08\x06", b"x" * 12 + b"\x86\xdd" + b"y" * 80, b"z" * 2000]
)
def test_broken_frames_claim_nothing(frame):
    assert claim_of(frame) is None


@pytest.mark.parametrize("vip", VIPS)
def test_the_interface_is_the_one_whose_network_contains_the_address(lan, vip):
    sh("ip", "-n", lan.hosts[0], "link", "add", "wide", "type", "veth", "peer", "name", "far")
    sh("ip", "-n", lan.hosts[0], "link", "set", "wide", "up")
    sh("ip", "-n", lan.hosts[0], "addr", "add", "10.0.0.1/8", "dev", "wide")
    sh("ip", "-n", lan.hosts[0], "addr", "add", "fd00::1/8", "dev", "wide", "nodad")

    async def main():
        driver = NetlinkDriver(ip_address(vip))
        await driver.bind(30)
        interface = driver.interface
        await driver.remove()
        await driver.close()
        stranger = NetlinkDriver(ip_address("192.0.2.1"))
        await stranger.clean()
        with pytest.raises(DriverError, match="no interface of this host"):
            await stranger.bind(30)
        return interface

    assert lan.run(0, main) == "eth0"


def test_what_a_predecessor_left_on_another_interface_goes_too(lan):
    sh("ip", "-n", lan.hosts[0], "addr", "add", f"{VIPS[0]}/32", "dev", "lo")
    sh("ip", "-n", lan.hosts[0], "addr", "add", f"{VIPS[1]}/128", "dev", "lo")

    async def main():
        for vip in VIPS:
            driver = NetlinkDriver(ip_address(vip))
            await driver.clean()
            assert await driver.left_s() is None
            await driver.close()

    lan.run(0, main)
