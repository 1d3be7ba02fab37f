"""A node asks the others for the time: over the peers' contract, in virtual time."""

import asyncio
from dataclasses import dataclass, field

import pytest

from coordinator.clocks import Standing
from coordinator.peers.contract import PeerRefused, PeerUnreachable
from node.cluster.clocks import ClockHooks, Clocks, DateSeen
from tests.support.virtual_loop import run_virtual


@dataclass
class Host:
    """A clock that is off by something, and the line to it."""

    name: str
    loop: object
    hosts: dict
    off_ms: int = 0
    delay_s: float = 0.01
    reachable: bool = True
    garbage: bytes = b""
    changes: list = field(default_factory=list)

    def wall_ms(self):
        return self.loop.now_ms() + self.off_ms

    def start(self, date=None):
        hooks = ClockHooks(
            others=lambda: [name for name in self.hosts if name != self.name],
            date=date,
            changed=self.changes.append,
            wall_ms=self.wall_ms,
            now_ms=self.loop.now_ms,
        )
        self.clocks = Clocks(self, hooks)
        self.task = asyncio.ensure_future(self.clocks.run())

    async def ask(self, node, route, body, *, timeout_s):
        other = self.hosts[node]
        await asyncio.sleep(other.delay_s)
        if not other.reachable:
            raise PeerUnreachable(node)
        if other.garbage:
            return other.garbage
        answer = await other.clocks.answer(self.name, body)
        await asyncio.sleep(other.delay_s)
        return answer

    async def close(self):
        self.task.cancel()


def play(scene, *offs_ms, date=None):
    async def main(loop):
        hosts = {}
        for number, off_ms in enumerate(offs_ms):
            hosts[f"n{number}"] = Host(name=f"n{number}", loop=loop, hosts=hosts, off_ms=off_ms)
        for host in hosts.values():
            host.start(date=date(host) if date else None)
        await asyncio.sleep(5)
        await scene(list(hosts.values()))

    run_virtual(main)


def standings(hosts):
    return [host.clocks.verdict.standing for host in hosts]


def test_the_one_that_is_off_stops_and_the_others_go_on():
    async def scene(hosts):
        assert standings(hosts) == [Standing.FINE, Standing.FINE, Standing.OUTLIER]
        assert hosts[2].clocks.verdict.offset_ms == pytest.approx(-4_000, abs=100)
        assert not hosts[2].clocks.verdict.reserves
        assert [verdict.standing for verdict in hosts[2].changes] == [Standing.OUTLIER]
        assert [each.source for each in hosts[0].clocks.readings] == ["n1", "n2"]

    play(scene, 0, 20, 4_000)


def test_a_clock_that_is_set_right_is_noticed_within_seconds():
    async def scene(hosts):
        hosts[2].off_ms = 0
        await asyncio.sleep(7)
        assert standings(hosts) == [Standing.FINE] * 3

    play(scene, 0, 20, 4_000)


def test_two_that_differ_are_an_alarm_and_the_upstreams_date_decides():
    async def alarm(hosts):
        assert standings(hosts) == [Standing.NO_MAJORITY] * 2
        assert all(host.clocks.verdict.margin_ms >= 1_000 for host in hosts)

    play(alarm, 0, 5_000)

    async def decided(hosts):
        assert standings(hosts) == [Standing.FINE, Standing.OUTLIER]

    def date(host):
        async def look():
            sent_ms = host.wall_ms()
            await asyncio.sleep(0.1)
            return DateSeen(date_ms=host.loop.now_ms() // 1000 * 1000, sent_ms=sent_ms, took_ms=100)

        return look

    play(decided, 0, 5_000, date=date)


def test_a_slow_silent_or_lying_peer_does_no_harm():
    async def scene(hosts):
        a, b, c = hosts
        b.garbage, c.reachable = b'{"got_ms": "x"}', False
        await asyncio.sleep(200)
        assert a.clocks.readings == ()
        assert a.clocks.verdict.standing is Standing.NO_MAJORITY
        b.garbage, c.delay_s, c.reachable = b"", 3.0, True
        await asyncio.sleep(40)
        assert [each.source for each in a.clocks.readings] == ["n1"]  # six seconds under way say nothing
        assert a.clocks.verdict.standing is Standing.FINE

    play(scene, 0, 10, 20)


def test_a_node_alone_is_fine():
    async def scene(hosts):
        assert standings(hosts) == [Standing.FINE]

    play(scene, 123_456)


async def test_a_peer_that_refuses_says_nothing():
    class Refusing:
        async def ask(self, node, route, body, *, timeout_s):
            raise PeerRefused("not on the list")

        async def close(self):
            """Nothing to close."""

    clocks = Clocks(Refusing(), ClockHooks(others=lambda: ["b", "c"]))
    await clocks.measure()
    assert clocks.verdict.standing is Standing.NO_MAJORITY
    assert clocks.verdict.reserves
