"""Listeners: TLS in every form, AUTH, PROXY, networks, limits, telemetry, reload and drain over real sockets."""

import base64
import contextlib
import ssl
import struct

import pytest
import trustme

from node.intake.authentication import Authenticator
from node.policy.passwords import StoredPassword, hash_fast
from node.settings.rules import intake_rules
from tests.support.intake_house import IntakeHouse, settings_of
from tests.support.smtp_client import RawSmtp

HOST = "127.0.0.1"
MESSAGE = b"From: app@contoso.com\r\nSubject: x\r\n\r\nhello\r\n.\r\n"
APPS = {"networks": ["127.0.0.0/8"], "senders": ["*@contoso.com"], "trace": True}


def submit(smtp, octets=MESSAGE, **envelope):
    smtp.envelope(**envelope)
    smtp.send(octets)
    return smtp.expect("250").split()[-1]


def certificate(home, name, ca=None):
    ca = ca or trustme.CA()
    issued = ca.issue_cert(name)
    cert, key = home / f"{name}.pem", home / f"{name}.key"
    cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    return {"certificate": str(cert), "key": {"file": str(key)}}, ca


def trusting(ca):
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


def test_a_stranger_is_never_relayed_for(tmp_path):
    with IntakeHouse(tmp_path, clients={"far": {**APPS, "networks": ["10.0.0.0/8"]}}) as house:
        with RawSmtp(house.port()) as smtp:
            smtp.hello()
            assert smtp.expect("550", "MAIL FROM:<app@contoso.com>").startswith("5.7.1")
            smtp.expect("503", "RCPT TO:<b@example.com>")
            smtp.expect("503", "DATA")
        assert house.messages() == []


def test_starttls_resets_and_sni_chooses_the_certificate(tmp_path):
    main, ca = certificate(tmp_path, "relay.test")
    other, _ = certificate(tmp_path, "other.test", ca)
    listeners = {"smtp": {"port": 0, "address": HOST, "tls": "required", "sni": {"other.test": other}}}
    with IntakeHouse(tmp_path, tls=main, listeners=listeners) as house:
        for name in ("relay.test", "other.test"):
            with RawSmtp(house.port()) as smtp:
                assert "STARTTLS" in smtp.hello()
                assert smtp.expect("530", "MAIL FROM:<app@contoso.com>").startswith("5.7.0")
                smtp.starttls(trusting(ca), name)
                smtp.expect("503", "MAIL FROM:<app@contoso.com>")
                offers = smtp.expect("250", "EHLO client.test")
                assert "STARTTLS" not in offers
                smtp.expect("503", "STARTTLS")
                assert b"ESMTPS" in house.body(submit(smtp))


def test_a_changed_certificate_is_taken_over(tmp_path):
    first, _ = certificate(tmp_path, "relay.test")
    with IntakeHouse(tmp_path, tls=first) as house:
        _, second_ca = certificate(tmp_path, "relay.test")
        house.call(house.server.refresh_certificates)
        with RawSmtp(house.port()) as smtp:
            smtp.hello()
            smtp.starttls(trusting(second_ca), "relay.test")


def test_implicit_tls_and_self_signed_certificate(tmp_path, caplog):
    listeners = {"smtps": {"port": 0, "address": HOST, "tls": "implicit"}}
    with IntakeHouse(tmp_path, listeners=listeners) as house:
        assert "self-signed" in caplog.text
        for _ in range(20):  # the first octets may come before the handshake is in place
            with RawSmtp(house.port("smtps")) as smtp:
                smtp.wrap()
                smtp.hello()
                submit(smtp)


def test_implicit_tls_behind_a_balancer(tmp_path):
    listeners = {"smtps": {"port": 0, "address": HOST, "tls": "implicit", "proxy_from": ["127.0.0.0/8"]}}
    with IntakeHouse(tmp_path, listeners=listeners, clients={"far": {**APPS, "networks": ["192.0.2.0/24"]}}) as house:
        for _ in range(5):
            with RawSmtp(house.port("smtps")) as smtp:
                incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                tls = context.wrap_bio(incoming, outgoing, server_hostname="relay.test")
                with pytest.raises(ssl.SSLWantReadError):
                    tls.do_handshake()
                # header and ClientHello in one packet
                smtp.send(b"PROXY TCP4 192.0.2.9 127.0.0.1 4711 25\r\n" + outgoing.read())
                banner = b""
                while not banner:
                    incoming.write(smtp.socket.recv(65536))
                    with contextlib.suppress(ssl.SSLWantReadError):
                        tls.do_handshake()
                        smtp.send(outgoing.read())
                        banner = tls.read()
                assert banner.startswith(b"220 relay.test")


def test_client_certificate_signs_in(tmp_path):
    main, ca = certificate(tmp_path, "relay.test")
    clients = trustme.CA()
    clients.cert_pem.write_to_path(tmp_path / "clients.pem")
    own = clients.issue_cert("billing.contoso.com")
    listeners = {
        "smtp": {
            "port": 0,
            "address": HOST,
            "tls": "required",
            "auth": "required",
            "client_ca": str(tmp_path / "clients.pem"),
        }
    }
    rule = {"certificate": "billing.contoso.com", "senders": ["*@contoso.com"]}
    with IntakeHouse(tmp_path, tls=main, listeners=listeners, clients={"billing": rule, "apps": APPS}) as house:
        context = trusting(ca)
        with RawSmtp(house.port()) as smtp:
            smtp.hello()
            smtp.starttls(context, "relay.test")
            smtp.expect("250", "EHLO client.test")
            smtp.expect("530", "MAIL FROM:<app@contoso.com>")
        own.configure_cert(context)
        with RawSmtp(house.port()) as smtp:
            smtp.hello()
            smtp.starttls(context, "relay.test")
            smtp.expect("250", "EHLO client.test")
            submit(smtp)
        assert house.messages()[0].message.client == "billing"


def test_auth_plain_and_login(tmp_path):
    stored = StoredPassword(hash=hash_fast(b"0123456789abcdef", b"saltsaltsaltsalt"))
    authenticator = Authenticator({"billing": [stored]}, now_ms=lambda: 0)
    password = base64.b64encode(b"0123456789abcdef")
    rule = {"user": "billing", "senders": ["*@contoso.com"], "passwords": [{"hash": stored.hash}]}
    listeners = {"smtp": {"port": 0, "address": HOST, "auth": "required"}}
    with IntakeHouse(tmp_path, verifier=authenticator, listeners=listeners, clients={"billing": rule}) as house:
        for exchange in (
            [(b"AUTH PLAIN " + base64.b64encode(b"\0billing\x000123456789abcdef"), "235")],
            [(b"AUTH LOGIN", "334"), (base64.b64encode(b"billing"), "334"), (password, "235")],
        ):
            with RawSmtp(house.port()) as smtp:
                assert "AUTH" not in smtp.hello()
                smtp.expect("530", "MAIL FROM:<app@contoso.com>")
                smtp.starttls()
                assert "AUTH PLAIN LOGIN" in smtp.expect("250", "EHLO client.test")
                for line, code in exchange:
                    smtp.expect(code, line)
                smtp.expect("503", b"AUTH PLAIN AAAA")
                assert "AUTH" not in smtp.expect("250", "EHLO client.test")
                assert b"ESMTPSA" in house.body(submit(smtp))
        house.run(authenticator.close())


def test_old_devices_on_the_legacy_listener_only(tmp_path):
    listeners = {
        "smtp": {"port": 0, "address": HOST},
        "printers": {"port": 0, "address": HOST, "profile": "legacy", "networks": ["127.0.0.0/8"]},
    }
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1
    with IntakeHouse(tmp_path, listeners=listeners) as house:
        with RawSmtp(house.port()) as smtp:
            smtp.hello()
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                smtp.starttls(old)
        with RawSmtp(house.port("printers")) as smtp:
            smtp.expect("220")
            assert "AUTH PLAIN LOGIN" in smtp.expect("250", "EHLO FLOOR_3_PRINTER")
            smtp.starttls(old)
            assert smtp.socket.version() == "TLSv1"
            smtp.expect("250", "EHLO FLOOR_3")
            smtp.expect("250", "MAIL FROM: <app@contoso.com>")
            smtp.expect("250", "RCPT TO: someone@example.com")
            smtp.expect("354", "DATA")
            smtp.send(b"From: app@contoso.com\n\nscan\n\r\n.\r\n")
            smtp.expect("250")
        seen = house.door.book.report()[0]
        assert seen.client == "apps"
        assert {"old_tls", "bare_lf", "lenient"} <= seen.counts.keys()


def test_proxy_header_is_a_must_from_balancers_and_refused_from_others(tmp_path):
    listeners = {
        "balanced": {"port": 0, "address": HOST, "proxy_from": ["127.0.0.0/8"]},
        "plain": {"port": 0, "address": HOST},
    }
    clients = {"far": {**APPS, "networks": ["192.0.2.0/24"]}}
    v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H4s4sHH", 12, bytes([192, 0, 2, 9]), bytes(4), 4711, 25)
    with IntakeHouse(tmp_path, listeners=listeners, clients=clients) as house:
        for header in (b"PROXY TCP4 192.0.2.9 127.0.0.1 4711 25\r\n", v2):
            with RawSmtp(house.port("balanced")) as smtp:
                smtp.send(header[:9])
                smtp.send(header[9:])
                smtp.hello()
                submit(smtp)
        assert {view.message.source for view in house.messages()} == {"192.0.2.9:4711"}
        for rubbish in (b"EHLO x\r\n", b"PROXY TCP4 1.2.3 x 1 2\r\n", b"PROXY UNKNOWN\r\n"):
            with RawSmtp(house.port("balanced")) as smtp:
                smtp.send(rubbish)
                assert smtp.closed()
        with RawSmtp(house.port("plain")) as smtp:
            smtp.hello()
            smtp.expect("500", "PROXY TCP4 192.0.2.9 127.0.0.1 4711 25")
            smtp.expect("550", "MAIL FROM:<app@contoso.com>")


def test_networks_close_a_listener_to_others(tmp_path):
    listeners = {"inside": {"port": 0, "address": HOST, "networks": ["10.0.0.0/8"]}}
    with IntakeHouse(tmp_path, listeners=listeners) as house, RawSmtp(house.port("inside")) as smtp:
        assert smtp.expect("554").startswith("5.7.1")
        assert smtp.closed()


def test_sessions_messages_and_commands_are_bounded(tmp_path):
    limits = {"sessions_per_address": 2, "sessions": 3, "messages_per_session": 1, "commands_per_session": 10}
    with IntakeHouse(tmp_path, limits=limits) as house:
        with RawSmtp(house.port()) as first, RawSmtp(house.port()) as second:
            first.hello()
            second.hello()
            with RawSmtp(house.port()) as third:
                assert third.expect("421").startswith("4.7.0")
            submit(first)
            assert first.expect("421", "MAIL FROM:<app@contoso.com>").startswith("4.7.0")
            for _ in range(9):
                second.expect("250", "NOOP")
            assert second.expect("421", "NOOP").startswith("4.7.0")
        house.until(lambda: house.server.sessions == 0)
        assert house.server.house.by_address == {}


def test_memory_is_bounded_by_refusing_more_transfers(tmp_path):
    with (
        IntakeHouse(tmp_path, limits={"memory": "1MiB"}) as house,
        RawSmtp(house.port()) as first,
        RawSmtp(house.port()) as second,
    ):
        first.hello()
        second.hello()
        first.envelope()
        second.expect("250", "MAIL FROM:<app@contoso.com>")
        second.expect("250", "RCPT TO:<b@example.com>")
        assert second.expect("452", "DATA").startswith("4.3.1")
        first.send(MESSAGE)
        first.expect("250")
        second.expect("354", "DATA")
        second.send(MESSAGE)
        second.expect("250")


def test_large_bodies_go_through_a_file_byte_for_byte(tmp_path):
    body = b"".join(b"%08d %s\r\n" % (n, b"x" * 60) for n in range(60_000)) + b"..dot\r\n"
    with IntakeHouse(tmp_path) as house, RawSmtp(house.port()) as smtp:
        smtp.hello()
        kept = submit(smtp, b"From: app@contoso.com\r\n\r\n" + body + b".\r\n")
        assert house.body(kept).endswith(b"\r\n\r\n" + body.replace(b"..dot", b".dot"))
        assert house.messages()[0].message.size_bytes == len(house.body(kept))
        smtp.envelope()
        smtp.send(b"From: app@contoso.com\r\n\r\n" + body[:600_000])
        smtp.close()
        incoming = house.door.new_body_path("x").parent
        house.until(lambda: house.server.house.transfers == 0 and not list(incoming.iterdir()))


def test_client_limits_reserve_and_return(tmp_path):
    plans = {"tight": {"rate": "5/min"}, "hold": {"rate": "5/min", "over_limit": "hold"}}
    clients = {"apps": {**APPS, "plan": "tight"}}
    with IntakeHouse(tmp_path, room=2, plans=plans, clients=clients) as house, RawSmtp(house.port()) as smtp:
        smtp.hello()
        smtp.expect("250", "MAIL FROM:<app@contoso.com>")
        smtp.expect("250", "RCPT TO:<a@example.com>")
        smtp.expect("250", "RCPT TO:<b@example.com>")
        assert smtp.expect("452", "RCPT TO:<c@example.com>").startswith("4.7.1")
        smtp.expect("250", "RSET")
        assert house.purse.used == {"apps": 0}
        submit(smtp)
        assert house.purse.used == {"apps": 1}
    with IntakeHouse(tmp_path / "2", room=0, plans=plans, clients={"apps": {**APPS, "plan": "hold"}}) as house:
        with RawSmtp(house.port()) as smtp:
            smtp.hello()
            submit(smtp)
        assert house.messages()[0].message.held


def test_spans_join_the_clients_trace(tmp_path):
    parent = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    with IntakeHouse(tmp_path) as house, RawSmtp(house.port()) as smtp:
        smtp.hello()
        submit(smtp, f"traceparent: {parent}\r\n".encode() + MESSAGE)
        commit, receive = house.ears.spans
        assert (receive.name, commit.name) == ("relay.receive", "relay.commit")
        assert receive.context.trace_id == int("a" * 32, 16)
        assert receive.parent_span_id == int("b" * 16, 16)
        assert commit.parent_span_id == receive.context.span_id
        kept = house.messages()[0].message
        assert kept.traceparent == f"00-{'a' * 32}-{receive.context.span_id:016x}-01"
        assert b"traceparent" not in house.only_body()
        assert house.ears.counts[("relay_messages_accepted", ("client", "apps"), ("priority", "normal"))] == 1


def test_reload_puts_new_rules_in_force_and_names_what_it_cannot(tmp_path):
    with IntakeHouse(tmp_path) as house:
        changed = settings_of(
            tmp_path,
            clients={"apps": {**APPS, "senders": ["only@contoso.com"]}},
            listeners={**house.settings.model_dump()["listeners"], "more": {"port": 0}},
        )
        stuck = house.call(house.server.reload, changed, intake_rules(changed, "relay.test"))
        assert stuck == ["listeners.more: added or removed"]
        with RawSmtp(house.port()) as smtp:
            smtp.hello()
            smtp.expect("550", "MAIL FROM:<app@contoso.com>")
            smtp.expect("250", "MAIL FROM:<only@contoso.com>")


def test_a_client_that_does_not_read_its_replies_is_not_buffered_for(tmp_path):
    with IntakeHouse(tmp_path, limits={"commands_per_session": 1_000_000}) as house, RawSmtp(house.port()) as smtp:
        smtp.hello()
        smtp.socket.settimeout(0.5)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 64 << 20:
                sent += smtp.socket.send(b"EHLO client.test\r\n" * 1000)
        (link,) = house.server._links
        assert link.transport.get_write_buffer_size() < 8 << 20
