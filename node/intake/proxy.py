"""PROXY protocol headers, versions 1 and 2 (HAProxy's proxy-protocol.txt): pure, fed with what has arrived so far.

Refuses to know who may send one: the listener's ``proxy_from`` decides that. A header is complete, incomplete, or
broken; ``LOCAL`` and ``UNKNOWN`` (the balancer's own checks) carry no client.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

import msgspec

MAX_V1_BYTES: Final = 107
"""The longest line of version 1, CRLF included (proxy-protocol.txt §2.1)."""
MAX_V2_BYTES: Final = 16 + 1024
"""Header, addresses and as many extension octets as any balancer in use sends."""
_V2_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V1_START: Final = b"PROXY "
_V2_FAMILIES: Final = {0x11: 4, 0x21: 16}
"""Address and protocol octet to octets of one address: TCP over IPv4 and over IPv6."""


class ProxyError(ValueError):
    """The octets are not a PROXY header; the connection is closed without a word."""


class Proxied(msgspec.Struct, frozen=True, kw_only=True):
    """A complete header: who the client is and how many octets the header took."""

    ip: str
    """Client address; empty when the balancer speaks for itself."""
    port: int
    consumed: int


def parse_proxy(data: bytes) -> Proxied | None:
    """Read a header from the start of ``data``; None when more octets are needed. Raises ProxyError."""
    if data.startswith(_V2_SIGNATURE):
        return _version2(data)
    if data.startswith(_V1_START):
        return _version1(data)
    if _V2_SIGNATURE.startswith(data) or _V1_START.startswith(data):
        return None
    raise ProxyError("not a PROXY header")


def _version1(data: bytes) -> Proxied | None:
    end = data.find(b"\r\n", 0, MAX_V1_BYTES)
    if end < 0:
        if len(data) >= MAX_V1_BYTES:
            raise ProxyError("version 1 line too long")
        return None
    parts = data[:end].split(b" ")
    if parts[1:2] == [b"UNKNOWN"]:
        return Proxied(ip="", port=0, consumed=end + 2)
    if len(parts) != 6 or parts[1] not in (b"TCP4", b"TCP6"):  # noqa: PLR2004 - PROXY, family, 2 addresses, 2 ports
        raise ProxyError("version 1 line malformed")
    wanted = IPv4Address if parts[1] == b"TCP4" else IPv6Address
    return Proxied(ip=_address(parts[2], wanted), port=_port(parts[4]), consumed=end + 2)


def _address(text: bytes, wanted: type[IPv4Address] | type[IPv6Address]) -> str:
    try:
        address = ip_address(text.decode("ascii"))
    except ValueError as error:
        raise ProxyError("address malformed") from error
    if not isinstance(address, wanted):
        raise ProxyError("address of the wrong family")
    return str(address)


def _port(text: bytes) -> int:
    if not text.isdigit() or len(text) > 5 or int(text) > 0xFFFF:  # noqa: PLR2004 - 16 bits, five digits
        raise ProxyError("port malformed")
    return int(text)


def _version2(data: bytes) -> Proxied | None:
    if len(data) < 16:  # noqa: PLR2004 - signature, command, family, length
        return None
    command, family = data[12], data[13]
    total = 16 + int.from_bytes(data[14:16], "big")
    if command not in (0x20, 0x21) or total > MAX_V2_BYTES:
        raise ProxyError("version 2 header malformed or too long")
    if len(data) < total:
        return None
    if command == 0x20 or family == 0:  # noqa: PLR2004 - LOCAL: the balancer's own health check
        return Proxied(ip="", port=0, consumed=total)
    width = _V2_FAMILIES.get(family)
    if width is None or total < 16 + 2 * width + 4:
        raise ProxyError("version 2 family not TCP or addresses cut off")
    port_at = 16 + 2 * width
    port = int.from_bytes(data[port_at : port_at + 2], "big")
    return Proxied(ip=str(ip_address(data[16 : 16 + width])), port=port, consumed=total)
