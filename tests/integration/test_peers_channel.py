"""The peer channel on real sockets: who gets in, who is believed, and that nobody can hold up the others."""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import pytest
import uvloop
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from coordinator.errors import NotAMember
from coordinator.peers import channel
from coordinator.peers.channel import PeerClient, PeerServer, Target
from coordinator.peers.contract import PeerRefused, PeerUnreachable
from coordinator.pki import Pki, PkiUnusable
from tests.support.peers import CLUSTER, PeerHouse, echo
from tests.support.pki import ClusterAuthority

ROOT = Path(__file__).parents[2]
SOON_S = 3.0


@pytest.fixture
async def house(tmp_path):
    house = PeerHouse(tmp_path)
    async with house.closing:
        yield house


async def ask(client, node="relay-b", route="echo", body=b"x", timeout_s=SOON_S):
    return await client.ask(node, route, body, timeout_s=timeout_s)


async def until(condition) -> None:
    async with asyncio.timeout(SOON_S):
        while not condition():  # noqa: ASYNC110 - what is waited for knows of no event
            await asyncio.sleep(0.01)


async def raw(target, data: bytes, context: ssl.SSLContext | None = None) -> bytes:
    """Send bytes, give everything that comes back until the server closes."""
    reader, writer = await asyncio.open_connection(*target, ssl=context)
    try:
        writer.write(data)
        async with asyncio.timeout(SOON_S + channel.HANDSHAKE_S):
            return await reader.read()
    except (ConnectionError, ssl.SSLError):
        return b""
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def plain_context(pki: Pki, *, own: bool = True) -> ssl.SSLContext:
    """A client that looks at nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if own:
        context.load_cert_chain(pki.certificate, pki.key)
    return context


async def test_the_callers_name_comes_from_its_certificate(house):
    await house.server("relay-b")
    assert await ask(house.client("relay-a")) == b"relay-a:x"
    assert await ask(house.client("relay-c"), body=b"") == b"relay-c:"
    assert await ask(house.client("relay-b")) == b"relay-b:x"


async def test_ipv6(house):
    server = PeerServer(house.pki("relay-b"), CLUSTER, lambda: house.nodes, {"echo": echo})
    port = await server.start("::1", 0)
    house.closing.push_async_callback(server.close)
    assert await ask(house.client("relay-a", targets=lambda: {"relay-b": Target("::1", port)})) == b"relay-a:x"


async def test_connections_are_kept_and_answers_not_mixed(house):
    await house.server("relay-b")
    client = house.client("relay-a")
    answers = await asyncio.gather(*(ask(client, body=str(n).encode()) for n in range(30)))
    assert answers == [f"relay-a:{n}".encode() for n in range(30)]
    connector = client._opened().connector
    (kept,) = connector._conns.values()
    assert 1 <= len(kept) <= channel.CONNECTIONS_TO_NODE_MAX


# -- strangers


async def test_an_authority_of_our_own_making_is_not_the_clusters(house):
    await house.server("relay-b")
    stranger = ClusterAuthority(label="other")
    pki = house.pki("relay-a", trusted=[house.authority])
    certificate, key = stranger.issue("relay-a")
    pki.certificate.write_bytes(certificate)
    pki.key.write_bytes(key)
    with pytest.raises(PeerUnreachable):
        await ask(house.client("relay-a"))


async def test_a_server_of_another_authority_is_not_believed(house):
    pki = Pki(ClusterAuthority(label="other").write(house.root / "other", "relay-b", trusted=[house.authority]))
    heard = []

    async def hear(node, body):
        heard.append(body)
        return b""

    await house.server("relay-b", {"echo": hear}, pki=pki)
    with pytest.raises(PeerUnreachable, match="certificate"):
        await ask(house.client("relay-a"))
    assert not heard


async def test_right_authority_but_another_cluster_is_refused(house):
    await house.server("relay-b")
    with pytest.raises(PeerRefused, match="relay://corp-uat/relay-a is of another cluster"):
        await ask(house.client("relay-a", pki=house.pki("relay-a", cluster="corp-uat")))


async def test_a_node_not_on_the_list_is_refused_and_one_taken_off_at_once(house):
    await house.server("relay-b")
    with pytest.raises(PeerRefused, match="relay-z is not on the list"):
        await ask(house.client("relay-z"))
    client = house.client("relay-a")
    assert await ask(client) == b"relay-a:x"
    house.nodes.discard("relay-a")
    with pytest.raises(PeerRefused, match="relay-a is not on the list"):
        await ask(client)
    house.nodes.add("relay-a")
    assert await ask(client) == b"relay-a:x"


@pytest.mark.parametrize("issue", [{"uris": []}, {"uris": ["relay://corp-mail/relay-a", "relay://corp-mail/relay-c"]}])
async def test_a_certificate_that_names_no_node_or_several_is_refused(house, issue):
    await house.server("relay-b")
    with pytest.raises(PeerRefused, match="instead of one"):
        await ask(house.client("relay-a", pki=house.pki("relay-a", **issue)))


@pytest.mark.parametrize("other", [{"cluster": "corp-uat"}, {"uris": ["relay://corp-mail/relay-c"]}, {"uris": []}])
async def test_a_server_that_is_another_node_hears_nothing(house, other):
    heard = []

    async def hear(node, body):
        heard.append(body)
        return b""

    await house.server("relay-b", {"echo": hear}, pki=house.pki("relay-b", **other))
    with pytest.raises(PeerUnreachable, match="relay://"):
        await ask(house.client("relay-a"))
    assert not heard


async def test_expired_certificates_count_on_neither_side(house):
    yesterday = datetime.now(UTC) - timedelta(days=1)
    await house.server("relay-b")
    with pytest.raises(PeerUnreachable):
        await ask(house.client("relay-a", pki=house.pki("relay-a", ends=yesterday)))
    await house.server("relay-c", pki=house.pki("relay-c", ends=yesterday))
    with pytest.raises(PeerUnreachable, match="expired"):
        await ask(house.client("relay-b"), node="relay-c")


async def test_without_a_certificate_nothing_is_answered(house):
    await house.server("relay-b")
    context = plain_context(house.pki("relay-a"), own=False)
    assert await raw(house.targets["relay-b"], b"POST /peer/echo HTTP/1.1\r\nContent-Length: 0\r\n\r\n", context) == b""
    assert await ask(house.client("relay-a")) == b"relay-a:x"


async def test_tls_12_is_refused_by_both_sides(house):
    await house.server("relay-b")
    context = plain_context(house.pki("relay-a"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection(*house.targets["relay-b"], ssl=context)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.load_cert_chain(house.pki("relay-c").certificate, house.pki("relay-c").key)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=old)
    async with server:
        house.targets["relay-c"] = Target(*server.sockets[0].getsockname()[:2])
        with pytest.raises(PeerUnreachable):
            await ask(house.client("relay-a"), node="relay-c")


@pytest.mark.parametrize("data", [b"POST /peer/echo HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", b"\0" * 5000, b"\x16\x03"])
async def test_clear_text_and_garbage_get_no_answer_and_hurt_nobody(house, data, monkeypatch):
    monkeypatch.setattr(channel, "HANDSHAKE_S", 0.5)
    await house.server("relay-b")
    answer = await raw(house.targets["relay-b"], data)
    assert b"HTTP" not in answer
    assert await ask(house.client("relay-a")) == b"relay-a:x"


# -- requests


HEADS = {
    "GET": (b"GET /peer/echo HTTP/1.1\r\n", b"404"),
    "another path": (b"POST /admin HTTP/1.1\r\nContent-Length: 0\r\n", b"404"),
    "no length": (b"POST /peer/echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", b"411"),
    "an encoding": (b"POST /peer/echo HTTP/1.1\r\nContent-Length: 0\r\nContent-Encoding: gzip\r\n", b"415"),
    "too long": (b"POST /peer/echo HTTP/1.1\r\nContent-Length: 99999999999\r\n", b"413"),
    "a length that is none": (b"POST /peer/echo HTTP/1.1\r\nContent-Length: -1\r\n", b"400"),
    "two lengths": (b"POST /peer/echo HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n", b"400"),
    "a long line": (b"POST /peer/" + b"a" * 5000 + b" HTTP/1.1\r\n", b"400"),
    "many headers": (b"POST /peer/echo HTTP/1.1\r\n" + b"A: b\r\n" * 500, b"400"),
}


@pytest.mark.parametrize(("head", "status"), HEADS.values(), ids=HEADS.keys())
async def test_a_head_is_judged_before_its_body(house, head, status):
    await house.server("relay-b")
    context = plain_context(house.pki("relay-a"))
    answer = await raw(house.targets["relay-b"], head + b"Host: x\r\nConnection: close\r\n\r\n", context)
    assert answer.startswith(b"HTTP/1.1 " + status) or (status == b"400" and answer.startswith(b"HTTP/1.0 400"))


async def test_an_unknown_route_is_refused(house):
    await house.server("relay-b")
    with pytest.raises(PeerRefused, match=r"nothing: 404 there is no route .nothing. here"):
        await ask(house.client("relay-a"), route="nothing")


async def test_bodies_are_bounded_by_route(house):
    await house.server("relay-b", {"echo": echo, "large": echo}, body_max={"large": 1 << 20})
    client = house.client("relay-a", answer_max=2 << 20)
    assert len(await ask(client, body=b"x" * channel.BODY_MAX)) == channel.BODY_MAX + 8
    with pytest.raises(PeerRefused, match="413 65537 bytes, at most 65536"):
        await ask(client, body=b"x" * (channel.BODY_MAX + 1))
    assert len(await ask(client, route="large", body=b"x" * (1 << 20))) == (1 << 20) + 8


async def test_answers_are_bounded(house):
    async def flood(node, body):
        return b"x" * (channel.BODY_MAX + 1)

    await house.server("relay-b", {"echo": flood})
    with pytest.raises(PeerUnreachable, match="too long"):
        await ask(house.client("relay-a"))


async def test_a_body_that_never_comes_is_not_waited_for(house, monkeypatch):
    monkeypatch.setattr(channel, "BODY_S", 0.2)
    monkeypatch.setattr(channel, "LINGER_S", 0.2)
    await house.server("relay-b")
    context = plain_context(house.pki("relay-a"))
    answer = await raw(
        house.targets["relay-b"], b"POST /peer/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx", context
    )
    assert answer.startswith(b"HTTP/1.1 408")


async def test_errors_of_a_handler_are_told_briefly(house):
    async def secret(node, body):
        raise RuntimeError("the password is hunter2")

    async def ours(node, body):
        raise NotAMember("no session\n" + "y" * 5000)

    await house.server("relay-b", {"secret": secret, "ours": ours, "echo": echo})
    client = house.client("relay-a")
    with pytest.raises(PeerUnreachable, match="500 RuntimeError") as caught:
        await ask(client, route="secret")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(PeerUnreachable, match="500 NotAMember: no session y") as caught:
        await ask(client, route="ours")
    assert len(str(caught.value)) < 300
    assert await ask(client) == b"relay-a:x"


# -- slow and silent peers


async def test_a_slow_handler_costs_its_caller_its_own_time_only(house):
    going = asyncio.Event()

    async def slow(node, body):
        await going.wait()
        return b"at last"

    await house.server("relay-b", {"slow": slow, "echo": echo})
    client = house.client("relay-a")
    waiting = asyncio.create_task(ask(client, route="slow", timeout_s=30))
    with pytest.raises(PeerUnreachable, match=r"no answer within 0\.1 s"):
        await ask(client, route="slow", timeout_s=0.1)
    assert await ask(client) == b"relay-a:x"
    going.set()
    assert await waiting == b"at last"


async def test_a_handler_has_its_own_bound(house, monkeypatch):
    monkeypatch.setattr(channel, "HANDLER_S", 0.1)
    await house.server("relay-b", {"echo": lambda node, body: asyncio.sleep(60, b"")})
    with pytest.raises(PeerUnreachable, match="500 TimeoutError"):
        await ask(house.client("relay-a"))


async def test_questions_at_once_are_bounded_on_both_sides(house, monkeypatch):
    going = asyncio.Event()

    async def slow(node, body):
        await going.wait()
        return b""

    server = await house.server("relay-b", {"slow": slow})
    monkeypatch.setattr(channel, "CALLS_PER_NODE_MAX", 4)
    client, second = house.client("relay-a"), house.client("relay-a")
    waiting = [asyncio.create_task(ask(client, route="slow", timeout_s=30)) for _ in range(4)]
    await until(lambda: server._calls["relay-a"] == 4)
    with pytest.raises(PeerUnreachable, match="4 questions wait"):
        await ask(client, route="slow")
    with pytest.raises(PeerUnreachable, match="429 too many questions"):
        await ask(second, route="slow")
    going.set()
    assert await asyncio.gather(*waiting) == [b""] * 4
    assert not client._asked


async def test_a_server_that_accepts_and_says_nothing_holds_up_nobody_else(house):
    silent = socket.create_server(("127.0.0.1", 0))
    with silent:
        await house.server("relay-b")
        house.targets["relay-c"] = Target(*silent.getsockname())
        client = house.client("relay-a")
        hanging = [asyncio.create_task(ask(client, node="relay-c", timeout_s=30)) for _ in range(20)]
        for _ in range(20):
            assert await ask(client) == b"relay-a:x"
        assert not any(task.done() for task in hanging), "the silent one was waited for"
        with pytest.raises(PeerUnreachable, match=r"relay-c: no answer within 0\.1 s"):
            await ask(client, node="relay-c", timeout_s=0.1)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        assert not client._asked


async def test_nobody_listening(house):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        house.targets["relay-c"] = Target(*gone.getsockname())
    with pytest.raises(PeerUnreachable, match="relay-c"):
        await ask(house.client("relay-a"), node="relay-c")
    with pytest.raises(PeerUnreachable, match="not on the list"):
        await ask(house.client("relay-a"), node="relay-q")


FROZEN = """
import asyncio, sys
from pathlib import Path
from coordinator.peers.channel import PeerServer
from coordinator.pki import Pki
async def echo(node, body):
    return body
async def main():
    server = PeerServer(Pki(Path(sys.argv[1])), "corp-mail", lambda: ("relay-a", "relay-b"), {"echo": echo})
    print(await server.start("127.0.0.1", 0), flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_a_frozen_process_is_noticed_and_welcome_again(house):
    pki = house.pki("relay-b")
    command = (sys.executable, "-c", FROZEN, str(pki.directory))
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        async with asyncio.timeout(30):
            house.targets["relay-b"] = Target("127.0.0.1", int(await process.stdout.readline()))
        client = house.client("relay-a")
        assert await ask(client) == b"x"
        os.kill(process.pid, signal.SIGSTOP)
        for _ in range(5):
            with pytest.raises(PeerUnreachable, match="no answer within"):
                await ask(client, timeout_s=0.1)
        os.kill(process.pid, signal.SIGCONT)
        assert await ask(client, timeout_s=10) == b"x"
    finally:
        process.kill()
        await process.communicate()


async def test_strangers_cannot_use_up_the_connections_of_others(house, monkeypatch):
    monkeypatch.setattr(channel, "CONNECTIONS_PER_ADDRESS_MAX", 4)
    server = await house.server("relay-b")
    silent = [socket.create_connection(house.targets["relay-b"]) for _ in range(6)]
    await until(lambda: len(server._greeting) == 4)
    for extra in silent[4:]:
        extra.settimeout(SOON_S)
        assert await asyncio.to_thread(extra.recv, 1) == b"", "one too many is sent away"
    from_elsewhere = socket.socket()
    from_elsewhere.bind(("127.0.0.9", 0))
    await asyncio.to_thread(from_elsewhere.connect, house.targets["relay-b"])
    context = plain_context(house.pki("relay-a"))
    reader, writer = await asyncio.open_connection(sock=from_elsewhere, ssl=context, server_hostname="relay-b")
    writer.write(b"POST /peer/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")
    async with asyncio.timeout(SOON_S):
        assert b"relay-a:x" in await reader.read()
    writer.close()
    for each in silent:
        each.close()


async def test_handshakes_that_never_end_are_cut_off(house, monkeypatch):
    monkeypatch.setattr(channel, "HANDSHAKE_S", 0.3)
    server = await house.server("relay-b")
    with socket.create_connection(house.targets["relay-b"]) as silent:
        silent.settimeout(SOON_S)
        assert await asyncio.to_thread(silent.recv, 1) == b""
    assert not server._greeting


# -- certificates change


async def test_authorities_change_one_after_the_other_without_a_gap(house):
    old, new = house.authority, ClusterAuthority(label="second authority")
    await house.server("relay-b")
    client = house.client("relay-a")
    steps = [
        lambda node: old.write(house.root / node, node, trusted=[old, new]),
        lambda node: new.write(house.root / node, node, trusted=[old, new]),
        lambda node: new.write(house.root / node, node, trusted=[new]),
    ]
    for step in steps:
        for node in ("relay-a", "relay-b"):
            step(node)
            assert await ask(client) == b"relay-a:x"
    left_behind = Pki(old.write(house.root / "old", "relay-c", trusted=[old, new]))
    with pytest.raises(PeerUnreachable):
        await ask(house.client("relay-c", pki=left_behind))


async def test_connections_made_with_old_certificates_end_with_their_next_answer(house):
    await house.server("relay-b")
    context = plain_context(house.pki("relay-a"))
    reader, writer = await asyncio.open_connection(*house.targets["relay-b"], ssl=context)
    request = b"POST /peer/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
    writer.write(request)
    assert b"relay-a:x" in await reader.readuntil(b"relay-a:x")
    house.pki("relay-b", trusted=[house.authority])
    writer.write(request)
    async with asyncio.timeout(SOON_S):
        assert b"relay-a:x" in await reader.read()
    writer.close()


async def test_files_that_do_not_fit_leave_the_old_ones_in_use(house):
    server = await house.server("relay-b")
    pki, kept = house.pki("relay-b"), house.pki("relay-b").key.read_bytes()
    pki.key.write_bytes(ClusterAuthority().issue("relay-b")[1])
    assert await ask(house.client("relay-a")) == b"relay-a:x"
    assert await ask(house.client("relay-c")) == b"relay-c:x"
    pki.certificate.unlink()
    assert await ask(house.client("relay-a")) == b"relay-a:x"
    told = [text for text in house.alarms if "stay in use" in text]
    assert len(told) == len(house.alarms) == 2, "each state of the files is told once"
    house.authority.write(pki.directory, "relay-b")
    before = server._contexts.server()
    assert await ask(house.client("relay-a")) == b"relay-a:x"
    assert server._contexts.server() is before
    assert kept != pki.key.read_bytes()


DAMAGES = {
    "missing": "No such file",
    "garbage": "not usable or no pair",
    "locked": "locked by a password",
    "foreign key": "not usable or no pair",
}


@pytest.mark.parametrize(("damage", "said"), DAMAGES.items(), ids=DAMAGES.keys())
async def test_a_server_without_usable_certificates_does_not_start(house, damage, said):
    pki = house.pki("relay-b")
    if damage == "missing":
        pki.ca.unlink()
    elif damage == "garbage":
        pki.certificate.write_text("hunter2")
    elif damage == "foreign key":
        pki.key.write_bytes(house.authority.issue("relay-b")[1])
    else:
        key = load_pem_private_key(pki.key.read_bytes(), password=None)
        locked = BestAvailableEncryption(b"hunter2")
        pki.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    with pytest.raises(PkiUnusable, match=said) as caught:
        await PeerServer(pki, CLUSTER, lambda: house.nodes, {}).start("127.0.0.1", 0)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(PeerUnreachable):
        await ask(PeerClient(pki, CLUSTER, lambda: {"relay-b": Target("127.0.0.1", 9)}))


# -- cost


async def test_a_beat_costs_no_handshake(house):
    """The figures printed are the ones to look at (design: below 1 ms); a busy machine must not fail the test."""
    server = await house.server("relay-b")
    client = house.client("relay-a")
    await ask(client)
    times, used = [], time.process_time()
    for _ in range(400):
        begun = time.perf_counter()
        await ask(client, body=b"beat")
        times.append(time.perf_counter() - begun)
    used = time.process_time() - used
    print(f"median {median(times) * 1e3:.3f} ms, CPU {used / 400 * 1e3:.3f} ms for both sides")
    (connection,) = server._http.connections
    assert server._http.requests_count == 401
    assert connection.transport.get_extra_info("ssl_object").version() == "TLSv1.3"


def test_the_channel_works_on_uvloop_too(tmp_path):
    async def talk():
        house = PeerHouse(tmp_path)
        async with house.closing:
            await house.server("relay-b")
            await house.server("relay-c", pki=house.pki("relay-c", cluster="corp-uat"))
            client = house.client("relay-a")
            assert await ask(client) == b"relay-a:x"
            with pytest.raises(PeerUnreachable, match="corp-uat"):
                await ask(client, node="relay-c")
            with pytest.raises(PeerRefused, match="relay-z is not on the list"):
                await ask(house.client("relay-z"))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(talk())


def test_a_socket_number_that_the_loop_still_holds_is_an_unreachable_peer(tmp_path):
    """A connection given up in its handshake may leave uvloop a number that is free: the next socket is refused."""
    uvloop.run(_held_number(tmp_path))


async def _held_number(home):
    house = PeerHouse(home)
    async with house.closing:
        await house.server("relay-b")
        client = house.client("relay-a")
        with socket.create_server(("127.0.0.1", 0)) as far, ExitStack() as taken:
            held = socket.create_connection(far.getsockname())
            held.setblocking(False)
            transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=held)
            number = held.detach()
            while (below := os.open(os.devnull, os.O_RDONLY)) < number:
                taken.callback(os.close, below)  # so that the next socket gets this number
            taken.callback(os.close, below)
            os.close(number)
            try:
                with pytest.raises(PeerUnreachable, match="is used by transport"):
                    await ask(client)
            finally:
                os.dup2(below, number)
                transport.abort()
                await asyncio.sleep(0.05)
        assert await ask(client) == b"relay-a:x", "it was nobody's fault for long"
