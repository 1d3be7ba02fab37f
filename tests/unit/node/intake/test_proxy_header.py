import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.intake.proxy import MAX_V2_BYTES, ProxyError, parse_proxy

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(command, family, content):
    return SIGNATURE + bytes((command, family)) + struct.pack("!H", len(content)) + content


IPV4 = bytes((192, 0, 2, 7, 10, 0, 0, 1)) + struct.pack("!HH", 4711, 25)
IPV6 = bytes(15) + b"\1" + bytes(16) + struct.pack("!HH", 4711, 25)


@pytest.mark.parametrize(
    ("header", "ip", "port"),
    [
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 25\r\n", "192.0.2.7", 4711),
        (b"PROXY TCP6 2001:db8::1 ::1 4711 25\r\n", "2001:db8::1", 4711),
        (b"PROXY UNKNOWN\r\n", "", 0),
        (b"PROXY UNKNOWN a b c d\r\n", "", 0),
        (v2(0x21, 0x11, IPV4), "192.0.2.7", 4711),
        (v2(0x21, 0x11, IPV4 + b"\x04\x00\x01x"), "192.0.2.7", 4711),
        (v2(0x21, 0x21, IPV6), "::1", 4711),
        (v2(0x20, 0x00, b""), "", 0),
    ],
)
def test_headers_whole_and_byte_by_byte(header, ip, port):
    found = parse_proxy(header + b"EHLO x\r\n")
    assert (found.ip, found.port, found.consumed) == (ip, port, len(header))
    for cut in range(len(header)):
        assert parse_proxy(header[:cut]) is None


@pytest.mark.parametrize(
    "header",
    [
        b"EHLO x\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 4711\r\n",
        b"PROXY TCP4 ::1 10.0.0.1 4711 25\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 99999 25\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 -1 25\r\n",
        b"PROXY TCP4 " + b"1" * 120,
        v2(0x11, 0x11, IPV4),
        v2(0x21, 0x31, IPV4),
        v2(0x21, 0x11, IPV4[:6]),
        v2(0x21, 0x11, IPV4 + bytes(MAX_V2_BYTES)),
    ],
)
def test_rubbish(header):
    with pytest.raises(ProxyError):
        parse_proxy(header)


@given(st.binary(max_size=200))
def test_never_anything_but_an_answer_or_an_error(tail):
    for start in (b"", b"PROXY ", SIGNATURE):
        try:
            found = parse_proxy(start + tail)
        except ProxyError:
            continue
        assert found is None or found.consumed <= len(start + tail)
