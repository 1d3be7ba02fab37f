"""The parts of the back door that need no socket: turns, letters, replies read in pieces."""

import asyncio
import socket

import pytest

from node.delivery.dial import IPV4_S, Dialer
from node.delivery.errors import NameUnknown, UnsafeCommand, WireBroken
from node.delivery.fair import WHEEL, Fair, order_at
from node.delivery.letter import Letter, mail_command, missing, pieces, rcpt_command, safe, stuffed, whole, xtext
from node.delivery.settle import upstream_id
from node.delivery.wire import MAX_LINE_BYTES, Wire
from node.policy.envelope import Direction, Priority, RecipientState
from node.policy.reply import Reply
from node.spool.contract import Queued
from tests.support.delivery_room import message


def lane(priority, client, domain="a.test"):
    return f"{priority}/{client}/external/contoso/{domain}"


def served(fair, times):
    names = []
    for _ in range(times):
        name = next(fair.in_turn())
        fair.served(name)
        names.append(name)
    return names


def test_every_class_is_offered_first_once_in_a_turn_of_the_wheel():
    firsts = [order_at(turn)[0] for turn in range(WHEEL)]
    assert firsts.count(Priority.URGENT) == WHEEL - 2
    assert firsts.count(Priority.NORMAL) == firsts.count(Priority.BULK) == 1


def test_clients_take_turns_however_many_lanes_they_have():
    fair = Fair()
    for number in range(10):
        fair.add(lane("normal", "many", f"d{number}.test"))
    fair.add(lane("normal", "one"))
    clients = [name.split("/")[1] for name in served(fair, 40)]
    assert clients.count("one") == 20
    assert len({name for name in served(fair, 40) if "/many/" in name}) == 10


def test_a_removed_lane_gets_no_turn():
    fair = Fair()
    fair.add(lane("bulk", "a"))
    fair.remove(lane("bulk", "a"))
    fair.remove(lane("bulk", "a"))
    assert list(fair.in_turn()) == []


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b"", b""),
        (b".", b"..\r\n"),
        (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n"),
        (b"..\r\n", b"...\r\n"),
        (b"no end", b"no end\r\n"),
        (b"bare\n.\nlf\r\n", b"bare\n..\nlf\r\n"),
    ],
)
def test_dots_are_doubled_at_line_starts(body, line):
    assert whole(body) == line


@pytest.mark.parametrize("chunk", [1, 2, 3, 7])
async def test_chunks_stuff_like_the_whole(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr("node.delivery.letter.CHUNK_BYTES", chunk)
    body = b".a\r\n.\r\n..b\r\nx.y\r\n\r\n.end"
    path = tmp_path / "body"
    path.write_bytes(body)
    assert b"".join([piece async for piece in pieces(path)]) == whole(body)


def test_nothing_but_crlf_dot_crlf_ends_what_is_sent():
    for body in (b"a\n.\n", b"a\r\n.\n", b"a\n.\r\n", b".\r\n", b"a\r\n.\r\nMAIL FROM:<x@y>\r\n"):
        sent = stuffed(body, line_start=True)
        assert b"\n.\r\n" not in sent
        assert b"\n.\n" not in sent
        assert not sent.startswith(b".\r\n")


def queued(address="bob@example.com", **more):
    values = {
        "index": 0,
        "address": address,
        "direction": Direction.EXTERNAL,
        "state": RecipientState.QUEUED,
        "attempts": 0,
        "next_attempt_ms": 0,
    }
    return Queued(**values | more)


def letter(recipient=None, **more):
    made = message(**{"body": b"123456789", **more})
    return Letter(message=made, recipients=(recipient or queued(),), body=b"", mail_from="a@contoso.com")


def test_parameters_are_said_only_when_needed_and_offered():
    every = {"SIZE": "0", "8BITMIME": "", "SMTPUTF8": "", "DSN": ""}
    assert mail_command(letter(), {}) == b"MAIL FROM:<a@contoso.com>"
    assert mail_command(letter(), every) == b"MAIL FROM:<a@contoso.com> SIZE=9"
    full = letter(eight_bit=True, smtputf8=True, envid="a+b=c", ret="HDRS")
    assert (
        mail_command(full, every) == b"MAIL FROM:<a@contoso.com> SIZE=9 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb+3Dc"
    )
    wish = queued(notify=6, orcpt="rfc822;x@y")
    assert rcpt_command(wish, every) == b"RCPT TO:<bob@example.com> NOTIFY=FAILURE,DELAY ORCPT=rfc822;x@y"
    assert rcpt_command(queued(notify=0), every) == b"RCPT TO:<bob@example.com> NOTIFY=NEVER"
    assert rcpt_command(wish, {}) == b"RCPT TO:<bob@example.com>"


def test_what_the_server_lacks_is_named():
    assert missing(letter(), {}) is None
    assert missing(letter(eight_bit=True), {})[1] == "5.6.3"
    assert missing(letter(smtputf8=True), {"8BITMIME": ""})[1] == "5.6.7"
    assert missing(letter(queued("bøb@example.com")), {})[1] == "5.6.7"
    assert missing(letter(), {"SIZE": "8"})[1] == "5.3.4"
    assert missing(letter(), {"SIZE": "0"}) is None
    assert missing(letter(), {"SIZE": "rubbish"}) is None


@pytest.mark.parametrize("address", ["a@b>\r\nRCPT TO:<c@d", "a b@c", "a\x00@b", "<a@b", "a@b\n"])
def test_addresses_that_could_speak_smtp_are_unsafe(address):
    assert not safe(address)


def test_xtext():
    assert xtext("a+b=c é") == "a+2Bb+3Dc+20+C3+A9"


def test_the_upstreams_id_is_found():
    assert upstream_id(Reply(code=250, text="OK <a@b> [Hostname=X]")) == "a@b"
    assert upstream_id(Reply(code=250, text="Ok: queued as 4ABC123")) == "4ABC123"
    assert upstream_id(Reply(code=550, text="<a@b>")) == ""
    assert upstream_id(None) == ""


class Line(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data):
        self.written += bytes(data)

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    def abort(self):
        self.closed = True


def wired():
    wire = Wire()
    wire.connection_made(Line())
    return wire


async def test_replies_in_any_pieces_pair_with_their_commands():
    data = b"220 hi\r\n250-one\r\n250-two\r\n250 three\r\n550 5.1.1 no\r\n354 go\r\n"
    for size in range(1, len(data)):
        wire = wired()
        wire.say(b"MAIL", b"RCPT", b"DATA")
        for start in range(0, len(data), size):
            wire.data_received(data[start : start + size])
        answers = [await wire.answer(1) for _ in range(4)]
        assert [answer.code for answer in answers] == [220, 250, 550, 354]
        assert answers[1].text == "one\ntwo\nthree"
        assert wire.usable


@pytest.mark.parametrize(
    "said",
    [b"x\r\n", b"25\r\n", b"250x\r\n", b"999 no\r\n", b"199 no\r\n", b"\r\n", b"250-a\r\nzzz\r\n", b"\xff\xfe\r\n"],
)
async def test_what_is_no_reply_ends_the_conversation(said):
    wire = wired()
    wire.data_received(said)
    with pytest.raises(WireBroken, match="protocol"):
        await wire.answer(1)
    assert not wire.usable


async def test_endless_lines_and_replies_are_bounded():
    wire = wired()
    wire.data_received(b"220-" + b"x" * (MAX_LINE_BYTES + 10))
    with pytest.raises(WireBroken, match="too long"):
        await wire.answer(1)
    wire = wired()
    for _ in range(100_000):
        wire.data_received(b"220-more\r\n")
    with pytest.raises(WireBroken, match="too long"):
        await wire.answer(1)
    assert len(wire._lines) < 20_000


async def test_a_server_that_speaks_unasked_or_leaves_is_not_used_again():
    wire = wired()
    wire.data_received(b"220 hi\r\n250 nobody asked\r\n")
    assert (await wire.answer(1)).code == 220
    assert not wire.usable
    wire = wired()
    wire.data_received(b"421 bye\r\n")
    assert (await wire.answer(1)).code == 421
    assert not wire.usable


async def test_what_came_before_the_end_is_still_read():
    wire = wired()
    wire.say(b"MAIL")
    wire.data_received(b"220 hi\r\n250 ok\r\n")
    wire.connection_lost(None)
    assert [(await wire.answer(1)).code for _ in range(2)] == [220, 250]
    with pytest.raises(WireBroken, match="closed"):
        await wire.answer(1)


async def test_a_command_with_a_line_break_is_never_written():
    wire = wired()
    with pytest.raises(UnsafeCommand):
        wire.say(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>")
    assert wire.transport.written == b""


async def test_silence_times_out_and_is_remembered():
    wire = wired()
    with pytest.raises(WireBroken, match="timeout"):
        await wire.answer(0.01)
    assert wire.silent


async def test_a_failing_resolver_is_covered_by_its_last_answer_and_an_absent_name_is_not():
    answers = [[(socket.AF_INET, "127.0.0.1")], OSError("down"), NameUnknown("gone"), OSError("down")]

    async def lookup(host, port):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    dialer = Dialer(lookup)
    assert await dialer.addresses("mx.test", 25) == [(socket.AF_INET, "127.0.0.1")]
    assert await dialer.addresses("mx.test", 25) == [(socket.AF_INET, "127.0.0.1")]
    with pytest.raises(NameUnknown):
        await dialer.addresses("mx.test", 25)
    with pytest.raises(WireBroken, match="dns"):
        await dialer.addresses("mx.test", 25)


async def test_families_alternate_and_bad_addresses_come_last():
    six, four = socket.AF_INET6, socket.AF_INET
    found = [(four, "127.0.0.1"), (four, "127.0.0.2"), (six, "::1"), (six, "::2")]

    async def lookup(host, port):
        return found

    dialer = Dialer(lookup)
    assert [name for _, name in await dialer.addresses("mx.test", 25)] == ["::1", "127.0.0.1", "::2", "127.0.0.2"]
    dialer._bad["::1"] = asyncio.get_running_loop().time() + 60
    assert (await dialer.addresses("mx.test", 25))[-1][1] == "::1"


async def test_a_host_that_refuses_ipv6_is_dialled_by_ipv4_while_it_has_such_addresses():
    six, four = (socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")
    known = {"both.test": [six, four], "only.test": [six], "other.test": [six, four]}

    async def lookup(host, port):
        return known[host]

    dialer = Dialer(lookup)
    dialer.by_ipv4("both.test")
    dialer.by_ipv4("only.test")
    assert {host: await dialer.addresses(host, 25) for host in known} == {
        "both.test": [four], "only.test": [six], "other.test": [six, four],
    }  # fmt: skip
    dialer._by_ipv4["both.test"] -= IPV4_S
    assert await dialer.addresses("both.test", 25) == [six, four]


async def test_all_addresses_are_tried():
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def lookup(host, port):
        return [(socket.AF_INET, "127.0.0.9"), (socket.AF_INET, "127.0.0.1")]

    async with server:
        sock = await Dialer(lookup).connect("mx.test", port, "", 5)
        assert sock.getpeername()[0] == "127.0.0.1"
        sock.close()
        with pytest.raises(WireBroken, match="refused"):
            await Dialer(lookup).connect("mx.test", 1, "", 5)
