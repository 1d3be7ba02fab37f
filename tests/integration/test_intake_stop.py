"""A door that closes, over real sockets: nobody who was let in, or stood in line, hears that he came too late."""

import asyncio
import contextlib
import os
import select
import signal
import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from node.intake import sockets
from tests.support.intake_house import IntakeHouse
from tests.support.smtp_client import RawSmtp

MESSAGE = b"From: app@contoso.com\r\nSubject: x\r\n\r\nhello\r\n.\r\n"
BOUND_S = 30
SLACK_S = 2
NOBODY = 65534
START_S = 60
"""A worker's start on a busy machine."""
BOTH = pytest.mark.parametrize("processes", [1, 2], ids=["one process", "workers"])
ENVELOPE = b"MAIL FROM:<app@contoso.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"


def house_of(home, processes=1, **changes):
    return IntakeHouse(home, processes=processes, intake={"processes": processes}, **changes)


def draining(house, bound_s) -> "Future[int]":
    return asyncio.run_coroutine_threadsafe(house.server.drain(bound_s), house.loop)


def submit(smtp, octets=MESSAGE):
    smtp.envelope()
    smtp.send(octets)
    return smtp.expect("250")


def served(smtp):
    """One whole session of one message."""
    smtp.hello()
    submit(smtp)
    smtp.expect("221", "QUIT")


def unread(smtp) -> bool:
    return bool(select.select([smtp.socket], [], [], 0)[0])


@contextlib.contextmanager
def nobody_accepts(house):
    """The kernel completes connections, and whoever should accept them stands still."""
    if house.processes > 1:
        for pid in house.server.pids.values():
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in house.server.pids.values():
                os.kill(pid, signal.SIGCONT)
        return
    still, go = threading.Event(), threading.Event()

    def stand():
        still.set()
        go.wait(BOUND_S)

    house.loop.call_soon_threadsafe(stand)
    assert still.wait(BOUND_S)
    try:
        yield
    finally:
        go.set()


@BOTH
def test_whoever_stands_in_line_when_the_door_closes_is_served(tmp_path, processes):
    with house_of(tmp_path, processes) as house, contextlib.ExitStack() as stack:
        with nobody_accepts(house):
            queued = [stack.enter_context(RawSmtp(house.port())) for _ in range(40)]
            over = draining(house, 20)
            if processes > 1:
                house.until(lambda: house.server._drain_by_s)
        for smtp in queued:
            served(smtp)
        assert over.result(BOUND_S) == 0
        assert len(house.messages()) == 40


@pytest.mark.timeout(180)
def test_whoever_stands_in_line_of_a_worker_that_died_is_served_by_its_successor(tmp_path):
    with house_of(tmp_path, 2) as house, contextlib.ExitStack() as stack:
        for pid in house.server.pids.values():
            os.kill(pid, signal.SIGKILL)
        queued = [stack.enter_context(RawSmtp(house.port(), wait_s=START_S)) for _ in range(10)]
        house.until(lambda: not house.server.pids)
        over = draining(house, START_S)
        for smtp in queued:
            served(smtp)
        assert over.result(2 * START_S) == 0


@BOTH
def test_under_a_storm_of_newcomers_each_is_served_or_finds_the_door_shut(tmp_path, processes):
    ends = []

    def knock(port):
        while True:
            try:
                smtp = RawSmtp(port)
            except ConnectionRefusedError:
                return
            with smtp:
                try:
                    served(smtp)
                except (AssertionError, OSError) as error:
                    ends.append(repr(error))
                else:
                    ends.append("served")

    with house_of(tmp_path, processes, limits={"sessions_per_address": 1000}) as house:
        clients = [threading.Thread(target=knock, args=(house.port(),)) for _ in range(12)]
        for client in clients:
            client.start()
        house.until(lambda: len(ends) >= 50, BOUND_S)
        assert draining(house, 20).result(BOUND_S) == 0
        for client in clients:
            client.join(BOUND_S)
            assert not client.is_alive()
    assert set(ends) == {"served"}


def test_a_session_that_was_greeted_has_its_one_message_taken(tmp_path):
    with house_of(tmp_path) as house, RawSmtp(house.port()) as smtp, RawSmtp(house.port()) as begun:
        smtp.hello()
        begun.hello()
        begun.expect("250", "MAIL FROM:<app@contoso.com>")
        over = draining(house, 10)
        house.until(lambda: not connects("127.0.0.1", house.port()))
        submit(smtp)
        smtp.expect("221", "QUIT")
        begun.expect("250", "RCPT TO:<b@example.com>")
        begun.expect("354", "DATA")
        begun.send(MESSAGE)
        begun.expect("250")
        begun.expect("221", "QUIT")
        assert over.result(BOUND_S) == 0
        assert house.ears.refused("shutting_down") == 0


def refuses(port):
    try:
        with RawSmtp(port):
            return False
    except ConnectionRefusedError:
        return True


@pytest.mark.parametrize("protection", ["clear", "tls"])
def test_an_idle_session_is_asked_to_leave_and_nobody_counts_it_as_refused(tmp_path, protection):
    with house_of(tmp_path) as house, RawSmtp(house.port()) as kept:
        kept.hello()
        if protection == "tls":
            kept.starttls()
            kept.expect("250", "EHLO client.test")
        submit(kept)
        kept.expect("250", "NOOP")
        began = time.monotonic()
        over = draining(house, 20)
        assert kept.expect("421").startswith("4.3.2")
        assert 0.5 < time.monotonic() - began < 6, "in its pause, not at the end"
        assert kept.closed()
        kept.close()
        assert over.result(BOUND_S) == 0
        assert house.ears.refused("shutting_down") == 0


def test_a_kept_session_that_never_pauses_is_asked_to_leave_with_the_answer_to_a_message(tmp_path):
    with house_of(tmp_path) as house, RawSmtp(house.port()) as kept:
        kept.hello()
        over, sent = draining(house, 5), 0
        while not unread(kept):  # as a client does that looks before it goes on
            submit(kept)
            sent += 1
            kept.expect("250", "RSET") if sent % 3 == 0 and not unread(kept) else None
            time.sleep(0.02)  # a session takes a thousand messages: no quick machine may run into that first
        assert kept.expect("421").startswith("4.3.2")
        assert kept.closed()
        kept.close()
        assert over.result(BOUND_S) == 0
        assert len(house.messages()) == min(sent, 100)
        assert house.ears.refused("shutting_down") == 0


def test_mail_that_follows_an_answer_at_once_is_taken_until_the_last(tmp_path):
    """A client that pipelines never looks: what it sent counts as asked before it was told to leave."""
    with house_of(tmp_path) as house, RawSmtp(house.port()) as smtp:
        smtp.hello()
        over, began = draining(house, 5), time.monotonic()
        smtp.send(ENVELOPE)
        for code in ("250", "250", "354"):
            smtp.expect(code)
        while time.monotonic() - began < 3:  # well after it would have been told with an answer (2 s)
            smtp.send(MESSAGE + ENVELOPE)
            for code in ("250", "250", "250", "354"):
                smtp.expect(code)
            time.sleep(0.05)  # a session takes a thousand messages
        smtp.send(MESSAGE)
        smtp.expect("250")
        assert smtp.expect("421").startswith("4.3.2")
        smtp.close()
        assert over.result(BOUND_S) == 0


def test_whoever_dribbles_does_not_hold_the_stop(tmp_path):
    with house_of(tmp_path) as house, contextlib.ExitStack() as stack:
        data, mail, line, tls = (stack.enter_context(RawSmtp(house.port())) for _ in range(4))
        for smtp in (data, mail, line, tls):
            smtp.hello()
        data.envelope()
        mail.expect("250", "MAIL FROM:<app@contoso.com>")
        tls.expect("220", "STARTTLS")
        began = time.monotonic()
        over = draining(house, 3)
        while not over.done():
            for smtp in (data, line):
                with contextlib.suppress(OSError):
                    smtp.send(b"x")
            time.sleep(0.05)
        assert time.monotonic() - began < 3 + SLACK_S
        for smtp in (data, mail, line):
            assert smtp.expect("421").startswith("4.3.2")
        assert house.ears.refused("shutting_down") >= 3
        assert house.messages() == []


def test_what_is_being_made_durable_is_answered_even_at_the_last(tmp_path):
    with house_of(tmp_path) as house, RawSmtp(house.port()) as smtp:
        append, waiting = house.door.append, []

        def slow(item):  # as a disk that takes its time
            stored, told = append(item), house.loop.create_future()
            stored.add_done_callback(lambda _: waiting.append(told))
            return told

        house.call(setattr, house.door, "append", slow)
        smtp.hello()
        smtp.envelope()
        smtp.send(MESSAGE)
        house.until(lambda: waiting)
        over = draining(house, 4)
        house.until(lambda: stage_is_last(house))
        house.call(waiting[0].set_result, None)
        smtp.expect("250")
        smtp.expect("421")
        smtp.close()
        assert over.result(BOUND_S) == 0


def stage_is_last(house) -> bool:
    return any(link.stage.value == "last" for link in tuple(house.server._links))


@BOTH
def test_who_is_in_a_hurry_waits_for_nobody(tmp_path, processes):
    with house_of(tmp_path, processes) as house, RawSmtp(house.port()) as busy:
        busy.hello()
        busy.expect("250", "MAIL FROM:<app@contoso.com>")
        over = draining(house, 25)
        house.until(lambda: refuses(house.port()))
        assert not unread(busy)
        house.call(house.server.hurry)
        assert busy.expect("421").startswith("4.3.2")
        busy.close()
        assert over.result(10) == 0


def drop_to_nobody() -> None:
    """Be a user without capabilities for the rest of a forked process's life: some kernels give him no filter."""
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


@pytest.mark.skipif(os.geteuid() != 0, reason="who is nobody has to become it first")
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["IPv4", "dual"])
@pytest.mark.parametrize("filters", [True, False], ids=["as the kernel likes", "no filter"])
def test_newcomers_are_held_back_without_capabilities_and_who_had_come_is_heard(family, filters, monkeypatch):
    if not filters:
        monkeypatch.setattr(sockets, "_ATTACH_FILTER", -1)
    child = os.fork()
    if not child:  # pragma: no cover
        code = 1
        try:
            drop_to_nobody()
            knocks(family)
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def knocks(family) -> None:
    """Before, while and after newcomers are held back."""
    with sockets._listen(family, "127.0.0.1" if family == socket.AF_INET else "::", 0, shared=True) as listening:
        listening.setblocking(True)
        port = listening.getsockname()[1]
        early = socket.create_connection(("127.0.0.1", port), timeout=5)
        deaf = sockets.hold_back(listening)
        assert not connects("127.0.0.1", port)
        clients = [early, *([near("127.0.0.1", port)] if deaf else [])]
        with ThreadPoolExecutor() as beside:
            knocking = beside.submit(socket.create_connection, ("127.0.0.1", port), timeout=BOUND_S)
            sockets.let_come(listening)
            clients.append(knocking.result())
        for client in clients:
            served_by = listening.accept()[0]
            if deaf:
                sockets.hear(served_by)
            client.sendall(b"x")
            served_by.settimeout(BOUND_S)
            assert served_by.recv(1) == b"x"


def near(host, port) -> socket.socket:
    """A device whose segments begin with all hops, and so are not held back; it goes on with fewer."""
    client = socket.socket()
    client.settimeout(5)
    client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
    client.connect((host, port))
    client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 64)
    return client


@BOTH
@pytest.mark.parametrize("filters", [True, False], ids=["filtered", "by hops"])
def test_newcomers_wait_while_an_address_moves_and_its_sessions_end_first(tmp_path, processes, filters, monkeypatch):
    if not filters and processes > 1:
        pytest.skip("other processes cannot be told to have no filter")
    if not filters:
        monkeypatch.setattr(sockets, "_ATTACH_FILTER", -1)
    listeners = {"smtp": {"port": 0, "address": "0.0.0.0"}}
    with house_of(tmp_path, processes, listeners=listeners) as house, contextlib.ExitStack() as stack:
        moving = stack.enter_context(RawSmtp(house.port(), host="127.0.0.9"))
        other = stack.enter_context(RawSmtp(house.port(), host="127.0.0.8"))
        for smtp in (moving, other):
            smtp.hello()
            submit(smtp)
        moving.envelope()
        held = asyncio.run_coroutine_threadsafe(house.server.hold(frozenset({"127.0.0.9"}), 8.0), house.loop)
        house.until(lambda: not connects("127.0.0.9", house.port()))
        assert not held.done()
        moving.send(MESSAGE)
        moving.expect("250")
        moving.expect("421")
        moving.close()
        held.result(BOUND_S)
        assert not connects("127.0.0.9", house.port()), "newcomers wait until the address has gone"
        submit(other)
        knocking = []
        waiting = threading.Thread(target=lambda: knocking.append(RawSmtp(house.port(), host="127.0.0.9")))
        waiting.start()
        house.call(house.server.welcome)
        waiting.join(BOUND_S)
        with knocking[0] as late:
            served(late)
        submit(other)


def test_a_process_that_begins_while_newcomers_are_held_back_hears_whom_it_takes_in(tmp_path, monkeypatch):
    monkeypatch.setattr(sockets, "_ATTACH_FILTER", -1)
    with house_of(tmp_path, listeners={"smtp": {"port": 0, "address": "0.0.0.0"}}) as house:
        assert sockets.hold_back(house.server._farewell._listening[0]), "as was done for the process before it"
        with near("127.0.0.1", house.port()) as client:
            client.settimeout(BOUND_S)
            assert client.recv(4) == b"220 "
            client.sendall(b"QUIT\r\n")
            assert b"\r\n221 " in client.recv(999) + client.recv(999)


@BOTH
def test_sessions_of_an_address_are_seen_out_while_newcomers_are_served(tmp_path, processes):
    listeners = {"smtp": {"port": 0, "address": "0.0.0.0"}}
    with house_of(tmp_path, processes, listeners=listeners) as house, contextlib.ExitStack() as stack:
        moving = stack.enter_context(RawSmtp(house.port(), host="127.0.0.9"))
        idle = stack.enter_context(RawSmtp(house.port(), host="127.0.0.9"))
        other = stack.enter_context(RawSmtp(house.port(), host="127.0.0.8"))
        for smtp in (moving, idle, other):
            smtp.hello()
            submit(smtp)
        moving.envelope()
        over = asyncio.run_coroutine_threadsafe(house.server.see_out(frozenset({"127.0.0.9"}), 60.0), house.loop)
        idle.expect("421")
        idle.close()
        newcomer = stack.enter_context(RawSmtp(house.port(), host="127.0.0.9"))
        newcomer.hello()
        submit(newcomer)
        assert not over.done()
        moving.send(MESSAGE)
        moving.expect("250")
        moving.expect("421")
        moving.close()
        over.result(BOUND_S)
        for smtp in (newcomer, other):
            submit(smtp)
        newcomer.envelope()
        slow = asyncio.run_coroutine_threadsafe(house.server.see_out(frozenset({"127.0.0.9"}), 60.0), house.loop)
        quick = asyncio.run_coroutine_threadsafe(house.server.hold(frozenset({"127.0.0.7"}), 8.0), house.loop)
        house.until(lambda: not connects("127.0.0.9", house.port()))
        newcomer.send(MESSAGE)
        newcomer.expect("250")
        newcomer.expect("421")
        newcomer.close()
        for each in (slow, quick):
            each.result(BOUND_S)


def connects(host, port) -> bool:
    try:
        socket.create_connection((host, port), timeout=0.3).close()
    except (TimeoutError, ConnectionRefusedError):
        return False
    return True
