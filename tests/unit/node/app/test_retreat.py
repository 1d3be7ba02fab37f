"""The order in which a node goes out of service, and back: addresses, readiness, notice, door, and mail last."""

import asyncio
import socket
import time
from types import SimpleNamespace

import pytest

from node.app.retreat import MOVED_S, Retreat
from node.intake.front import make_front
from node.intake.local import LocalDoor
from node.spool.sqlite import SqliteSpool
from tests.support.intake_house import Ears, Purse, settings_of


class Scene:
    """A node that writes down what is asked of its door, its cluster and its mail."""

    def __init__(self, *held: tuple[str, str], notice_s: float | None = None, alone: bool = False):
        self.said, self.held = [], held
        self.settings = SimpleNamespace(stop_timeout=0.6, stop_notice=notice_s)
        self.intake, self.protection, self.member = self, self, None if alone else self
        self.retreat = Retreat(self)

    def note(self, *words) -> None:
        self.said.append(" ".join((*words, "ready" if not self.retreat.gone else "gone")))

    # the cluster

    def addresses(self, *drivers: str) -> frozenset[str]:
        return frozenset(address for address, driver in self.held if driver in drivers)

    async def released(self) -> None:
        self.note("released")

    # the door

    async def hold(self, addresses, bound_s, settle_s=0.0) -> None:
        self.note("hold", *sorted(addresses))

    async def see_out(self, addresses, bound_s) -> None:
        self.note("see out", *sorted(addresses))

    def welcome(self) -> None:
        self.note("welcome")

    async def drain(self, bound_s: float) -> int:
        self.note("drain")
        return 0

    def hurry(self) -> None:
        self.note("hurry")

    async def close(self) -> None:
        self.note("close")

    # the mail

    def leave(self, wished: bool) -> None:
        self.note("give" if wished else "keep")


KERNEL, HOOK, PROBE = ("10.0.0.1", "netlink"), ("10.0.0.2", "hook"), ("10.0.0.3", "probe")
RELEASED, WELCOME, DRAIN = "released gone", "welcome gone", "drain gone"
ORDER = {
    "alone": (Scene(alone=True), [DRAIN]),
    "no address": (Scene(), [RELEASED, DRAIN]),
    "in the kernel": (Scene(KERNEL), ["hold 10.0.0.1 ready", RELEASED, DRAIN]),
    "two in the kernel": (Scene(KERNEL, HOOK), ["hold 10.0.0.1 10.0.0.2 ready", RELEASED, DRAIN]),
    "behind a balancer": (Scene(PROBE), [RELEASED, WELCOME, DRAIN]),
    "both": (Scene(KERNEL, PROBE), ["hold 10.0.0.1 ready", RELEASED, WELCOME, DRAIN]),
    "no notice": (Scene(PROBE, notice_s=0.0), [RELEASED, DRAIN]),
    "notice": (Scene(alone=True, notice_s=0.1), [WELCOME, DRAIN]),
}


@pytest.mark.parametrize(("scene", "said"), ORDER.values(), ids=ORDER)
async def test_sessions_of_an_address_end_before_it_goes_and_the_door_closes_last(scene, said):
    await scene.retreat.leave(0.3)
    assert scene.said == said
    assert scene.retreat.gone
    assert scene.retreat.closed
    await scene.retreat.leave(0.3)
    assert scene.said == said, "once is enough"


MOVES = {
    "in the kernel": (Scene(KERNEL, PROBE), ["see out 10.0.0.1 ready", "hold 10.0.0.1 ready", "welcome ready"]),
    "another's": (Scene(HOOK), []),
    "alone": (Scene(KERNEL, alone=True), []),
}


@pytest.mark.parametrize(("scene", "said"), MOVES.values(), ids=MOVES)
async def test_sessions_are_seen_out_of_an_address_that_moves_while_the_node_goes_on(scene, said):
    await scene.retreat.part("10.0.0.1")
    assert scene.said == said[:2]
    async with asyncio.timeout(10):
        while scene.said != said:  # noqa: ASYNC110 - said by a timer
            await asyncio.sleep(0.01)
    assert not scene.retreat.gone


async def test_newcomers_are_not_let_in_again_where_the_node_leaves_meanwhile():
    scene = Scene(KERNEL)
    await scene.retreat.part("10.0.0.1")
    await scene.retreat.leave(0.3)
    await asyncio.sleep(2 * MOVED_S)
    await scene.retreat.part("10.0.0.1")
    assert scene.said == ["see out 10.0.0.1 ready", "hold 10.0.0.1 ready", "hold 10.0.0.1 ready", RELEASED, DRAIN]


async def test_notice_is_given_in_full_and_a_hurry_ends_it():
    scene = Scene(alone=True, notice_s=0.1)
    began = time.monotonic()
    await scene.retreat.leave(0.3)
    assert time.monotonic() - began >= 0.1
    scene = Scene(alone=True, notice_s=60.0)
    leaving = asyncio.create_task(scene.retreat.leave(90.0))
    while not scene.said:  # noqa: ASYNC110 - said by another task
        await asyncio.sleep(0.001)
    scene.retreat.hurry()
    async with asyncio.timeout(10):
        await leaving
    assert scene.said == ["welcome gone", "hurry gone", "drain gone"]


async def test_whoever_asked_may_go_and_what_has_begun_goes_on():
    scene = Scene(alone=True, notice_s=0.1)
    asking = asyncio.create_task(scene.retreat.leave(0.3))
    await asyncio.sleep(0)
    asking.cancel()
    await scene.retreat.leave(0.3)
    assert scene.said == ["welcome gone", "drain gone"]


async def test_a_drained_node_gives_its_mail_after_the_door_closed_and_listens_again_at_the_end(tmp_path):
    spool = SqliteSpool(tmp_path, now_ms=lambda: 0)
    mail = Scene(alone=True)
    node = SimpleNamespace(
        settings=settings_of(tmp_path, stop_timeout="2s", intake={"processes": 1}), telemetry=Ears(), member=None,
        hostname="relay.test", door=LocalDoor(spool, Purse()), protection=mail, intake=None,
    )  # fmt: skip
    node.retreat = retreat = Retreat(node)
    node.intake = make_front(node.settings, node.door, node.telemetry, hostname="relay.test")
    await node.intake.start()
    first = node.intake
    following = asyncio.create_task(retreat.follow())
    retreat.wish(True)
    async with asyncio.timeout(30):
        while not mail.said:  # noqa: ASYNC110 - said by another task
            await asyncio.sleep(0.01)
        assert retreat.closed
        assert not answers(first.ports["smtp"])
        retreat.wish(False)
        while retreat.gone:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert [word.split()[0] for word in mail.said] == ["give", "keep"]
    assert node.intake is not first
    assert answers(node.intake.ports["smtp"])
    following.cancel()
    await retreat.leave(1.0)
    assert not answers(node.intake.ports["smtp"])
    await node.intake.close()


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True
