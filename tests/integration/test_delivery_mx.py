"""Where a tenant's MX is: asked of a real name server, kept, and never believed to be outside Microsoft's zones."""

import asyncio
import contextlib

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from node.delivery.dial import Dialer
from node.delivery.endpoint import Endpoint
from node.delivery.errors import ElsewhereError, NameUnknown, Refused, WireBroken
from node.delivery.mx import LAST_GOOD_S, TTL_MIN_S, MxHosts
from node.delivery.opener import Opener
from node.delivery.resolver import Exchangers, system_exchangers
from node.policy.reply import Stage
from tests.support.delivery_room import authority

HOST = "contoso-com.mail.protection.outlook.com"


class NameServer(asyncio.DatagramProtocol):
    """Answers MX questions with what it was told: records, or the name of an rcode."""

    def __init__(self):
        self.answers: dict[str, list[str] | str] = {}
        self.asked: list[str] = []

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        question = dns.message.from_wire(data)
        name = question.question[0].name.to_text()
        self.asked.append(name)
        found = self.answers.get(name, "NXDOMAIN")
        reply = dns.message.make_response(question)
        if isinstance(found, str):
            reply.set_rcode(dns.rcode.from_text(found))
        elif found:
            reply.answer.append(dns.rrset.from_text(name, 300, "IN", "MX", *found))
        self.transport.sendto(reply.to_wire(), address)


@pytest.fixture
async def names(monkeypatch):
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], transport.get_extra_info("sockname")[1]
    monkeypatch.setattr(dns.asyncresolver, "default_resolver", resolver)
    yield server
    transport.close()


async def test_the_hosts_in_the_order_of_preference(names):
    names.answers["contoso.com."] = ["20 B.Mail.Protection.Outlook.com.", f"10 {HOST}."]
    found = await system_exchangers("contoso.com")
    assert found == Exchangers((HOST, "b.mail.protection.outlook.com"), 300.0)
    assert names.asked == ["contoso.com."]


@pytest.mark.parametrize("answer", ["NXDOMAIN", [], ["0 ."]])
async def test_no_mx_is_an_answer(names, answer):
    names.answers["contoso.com."] = answer
    with pytest.raises(NameUnknown):
        await system_exchangers("contoso.com")


async def test_a_resolver_in_trouble_is_no_answer(names):
    names.answers["contoso.com."] = "SERVFAIL"
    with pytest.raises(WireBroken, match="dns"):
        await system_exchangers("contoso.com")


class Told:
    """A look-up that gives what it is told, one thing after the other; the last again and again."""

    def __init__(self, *things):
        self.things, self.asked = list(things), 0

    async def __call__(self, domain):
        self.asked += 1
        thing = self.things.pop(0) if len(self.things) > 1 else self.things[0]
        if isinstance(thing, Exception):
            raise thing
        return thing


@pytest.fixture
def clock(monkeypatch):
    """The loop's clock as ``MxHosts`` reads it, moved by hand."""

    class Loop:
        now_s = 1000.0

        def time(self):
            return self.now_s

    loop = Loop()
    monkeypatch.setattr("node.delivery.mx.asyncio.get_running_loop", lambda: loop)
    return loop


async def test_an_answer_is_kept_as_long_as_it_says(clock):
    told = Told(Exchangers((HOST,), 120.0))
    hosts = MxHosts(told)
    for after_s, asked in ((0, 1), (119, 1), (2, 2)):
        clock.now_s += after_s
        assert await hosts.of("contoso.com") == (HOST,)
        assert told.asked == asked


async def test_a_ttl_of_nothing_is_not_asked_for_each_connection(clock):
    told = Told(Exchangers((HOST,), 0.0))
    hosts = MxHosts(told)
    await hosts.of("contoso.com")
    clock.now_s += TTL_MIN_S - 1
    await hosts.of("contoso.com")
    assert told.asked == 1


async def test_the_last_good_answer_serves_for_a_day_while_dns_fails(clock):
    hosts = MxHosts(Told(Exchangers((HOST,), 60.0), WireBroken("dns", "SERVFAIL")))
    await hosts.of("contoso.com")
    clock.now_s += LAST_GOOD_S - 1
    assert await hosts.of("contoso.com") == (HOST,)
    clock.now_s += 2
    with pytest.raises(WireBroken):
        await hosts.of("contoso.com")


async def test_an_answer_that_there_is_none_is_believed_at_once(clock):
    hosts = MxHosts(Told(Exchangers((HOST,), 60.0), NameUnknown("no"), WireBroken("dns")))
    await hosts.of("contoso.com")
    clock.now_s += 3600
    with pytest.raises(NameUnknown):
        await hosts.of("contoso.com")
    with pytest.raises(WireBroken):
        await hosts.of("contoso.com")


@pytest.mark.parametrize(
    ("found", "taken"),
    [
        ((HOST, "mx.gateway.example"), (HOST,)),
        (("contoso-com.b-v1.mx.microsoft",), ("contoso-com.b-v1.mx.microsoft",)),
        (("contoso-com.mail.protection.office365.us",), ("contoso-com.mail.protection.office365.us",)),
        (("contoso-cn.mail.protection.partner.outlook.cn",), ("contoso-cn.mail.protection.partner.outlook.cn",)),
        (("mx.gateway.example",), None),
        (("evilmail.protection.outlook.com.attacker.example",), None),
        (("xmail.protection.outlook.com",), None),
    ],
)
async def test_only_hosts_in_microsofts_zones_are_taken(found, taken):
    hosts = MxHosts(Told(Exchangers(found, 60.0)))
    if taken is None:
        with pytest.raises(ElsewhereError, match=r"^contoso\.com: "):
            await hosts.of("contoso.com")
    else:
        assert await hosts.of("contoso.com") == taken


def endpoint(context, **more):
    values = {"way": "connector:t/connector", "path": "connector", "account": "t/connector", "tenant": "t", "host": ""}
    return Endpoint(**values | {"port": 25, "mx": "contoso.com", "context": context} | more)


@pytest.mark.parametrize(
    ("thing", "word"),
    [
        (NameUnknown("no"), "dns no MX"),
        (Exchangers(("mx.gateway.example",), 60.0), "mx_elsewhere contoso.com: mx.gateway.example"),
    ],
)
async def test_what_the_classifier_is_told(thing, word):
    opener = Opener(Dialer(), None, mx=MxHosts(Told(thing)))
    with pytest.raises(Refused) as caught:
        await opener.open(endpoint(authority()[1]), [])
    assert (caught.value.stage, caught.value.reply.code, caught.value.reply.text) == (Stage.CONNECT, 0, word)


async def test_the_next_host_is_tried_and_its_name_verified():
    """Two MX hosts: nobody listens at the first; at the second a server whose certificate bears another name."""
    server_context, client_context = authority()

    async def serve(reader, writer):
        writer.write(b"220 hello\r\n")
        await reader.readline()
        writer.write(b"250-hello\r\n250 STARTTLS\r\n")
        await reader.readline()
        writer.write(b"220 go\r\n")
        with contextlib.suppress(Exception):
            await writer.start_tls(server_context)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    known = {"dead.mail.protection.outlook.com": "127.0.0.2", HOST: "127.0.0.1"}

    async def lookup(host, port):
        return [(2, known[host])]

    hosts = MxHosts(Told(Exchangers(tuple(known), 60.0)))
    opener = Opener(Dialer(lookup), None, mx=hosts)
    try:
        with pytest.raises(Refused) as caught:
            await opener.open(endpoint(client_context, port=port), [])
    finally:
        server.close()
        await server.wait_closed()
    assert caught.value.stage is Stage.TLS
    assert "certificate" in caught.value.reply.text
    assert HOST in caught.value.reply.text
