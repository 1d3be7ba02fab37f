"""Intake processes: several share a port, a killed one loses nothing answered, the core's books hold for all."""

import asyncio
import contextlib
import os
import signal
import socket

import pytest

from node.intake.authentication import Authenticated, Refused
from node.intake.channel import CoreChannel
from node.intake.door import DoorState
from node.intake.frames import MAX_FRAME_BYTES
from tests.support.intake_house import IntakeHouse, settings_of
from tests.support.smtp_client import RawSmtp

MESSAGE = b"From: app@contoso.com\r\nSubject: x\r\n\r\nhello\r\n.\r\n"
CLIENT = {"networks": ["127.0.0.0/8"], "senders": ["*@contoso.com"], "plan": "tight"}
SHAPE = {"plans": {"tight": {"rate": "100/min"}}, "clients": {"apps": CLIENT}, "intake": {"processes": 2}}


class Verifier:
    async def verify(self, user, password, peer_ip):
        return Authenticated(user=user) if password == b"right" else Refused(delay_s=0, reason="wrong")


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    home = tmp_path_factory.mktemp("workers")
    with IntakeHouse(home, processes=2, room=500, verifier=Verifier(), **SHAPE) as running:
        yield running


def submit(smtp, octets=MESSAGE):
    smtp.envelope()
    smtp.send(octets)
    return smtp.expect("250").split()[-1]


def test_small_and_large_messages_reach_the_spool(house):
    large = b"From: app@contoso.com\r\n\r\n" + b"0123456789abcdef\r\n" * 40_000 + b".\r\n"
    used = house.purse.used.get("apps", 0)
    ids = []
    for octets in (MESSAGE, large) * 4:
        with RawSmtp(house.port()) as smtp:
            smtp.hello()
            ids.append(submit(smtp, octets))
            smtp.expect("221", "QUIT")
    assert house.body(ids[-1]).endswith(large[24:-3])
    assert house.purse.used["apps"] == used + 8
    key = ("relay_messages_accepted", ("client", "apps"), ("priority", "normal"))
    house.until(lambda: house.ears.counts.get(key, 0) >= 8)
    house.until(lambda: house.door.book.report() and house.door.book.report()[0].counts["message"] >= 8)


def test_sign_in_asks_the_core(house):
    with RawSmtp(house.port()) as smtp:
        smtp.hello()
        smtp.starttls()
        smtp.expect("250", "EHLO client.test")
        smtp.expect("535", b"AUTH PLAIN AGEAd3Jvbmc=")
        smtp.expect("235", b"AUTH PLAIN AGEAcmlnaHQ=")


def test_the_door_shuts_for_every_worker(house):
    with RawSmtp(house.port()) as smtp:
        smtp.hello()
        house.call(house.door.set_state, DoorState(accepting=False, reason="queue"))
        house.until(lambda: smtp.say("MAIL FROM:<app@contoso.com>")[0] == "452" or smtp.say("RSET")[0] == "")
        house.call(house.door.set_state, DoorState())
        house.until(lambda: smtp.say("MAIL FROM:<app@contoso.com>")[0] == "250")


def test_a_killed_worker_gives_back_its_reservations_and_is_replaced(house):
    used = house.purse.used.get("apps", 0)
    with RawSmtp(house.port()) as smtp:
        smtp.hello()
        smtp.expect("250", "MAIL FROM:<app@contoso.com>")
        smtp.expect("250", "RCPT TO:<b@example.com>")
        assert house.purse.used["apps"] == used + 1
        old = dict(house.server.pids)
        for pid in old.values():
            os.kill(pid, signal.SIGKILL)
        assert smtp.closed()
    with RawSmtp(house.port(), wait_s=30) as smtp:  # queued on a socket the core holds
        smtp.hello()
        submit(smtp)
    house.until(lambda: house.purse.used["apps"] == used + 1)
    house.until(lambda: len(house.server.pids) == 2 and not set(house.server.pids.values()) & set(old.values()))


def test_reload_reaches_the_workers(house):
    changed = settings_of(house.home, **{**SHAPE, "clients": {"apps": {**CLIENT, "senders": ["only@contoso.com"]}}})
    assert house.call(house.server.reload, changed) == []

    def refused():
        with RawSmtp(house.port()) as smtp:
            smtp.hello()
            return smtp.say("MAIL FROM:<app@contoso.com>")[0] == "550"

    house.until(lambda: all(refused() for _ in range(6)))
    house.call(house.server.reload, settings_of(house.home, **SHAPE))
    house.until(lambda: not any(refused() for _ in range(6)))


def test_drain_ends_the_workers(tmp_path):
    with IntakeHouse(tmp_path, processes=2, **SHAPE) as house, RawSmtp(house.port()) as busy:
        busy.hello()
        busy.envelope()
        draining = asyncio.run_coroutine_threadsafe(house.server.drain(20), house.loop)
        house.until(lambda: refuses(house.port()))
        busy.send(MESSAGE)
        busy.expect("250")
        assert draining.result(30) == 0
        house.until(lambda: not house.server.pids)
        assert len(house.messages()) == 1


def refuses(port):
    try:
        with RawSmtp(port):
            return False
    except OSError:
        return True


@pytest.mark.parametrize(
    "rubbish", [b"\0\0\0\x05hello", (MAX_FRAME_BYTES + 1).to_bytes(4, "big"), b"\0\0\0\x02\x92\x63"]
)
def test_a_broken_frame_ends_its_own_channel_only(house, rubbish):
    lost = []

    async def attack():
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        await loop.create_connection(
            lambda: CoreChannel(house.door, house.ears, b"{}", "relay.test", lambda: lost.append(1)), sock=ours
        )
        with contextlib.suppress(BrokenPipeError):
            await loop.run_in_executor(None, theirs.sendall, rubbish)
        for _ in range(500):
            if lost:
                break
            await asyncio.sleep(0.01)
        theirs.close()

    house.run(attack())
    assert lost == [1]
    with RawSmtp(house.port()) as smtp:
        smtp.hello()
        submit(smtp)


def test_without_its_core_a_worker_refuses_and_ends(tmp_path):
    with IntakeHouse(tmp_path, processes=2, **SHAPE) as house:
        with RawSmtp(house.port()) as open_session, RawSmtp(house.port()) as in_data:
            open_session.hello()
            in_data.hello()
            in_data.envelope()

            async def hang_up():
                house.server._stopping = True
                for channel in tuple(house.server._channels.values()):
                    channel._transport.abort()

            house.run(hang_up())
            assert open_session.expect("421").startswith("4.3.2")
            in_data.send(MESSAGE)
            assert in_data.expect("451").startswith("4.3.0")
        house.until(lambda: not house.server.pids)
        assert house.messages() == []
