"""Frames that claim or ask for an address: ARP (RFC 826, 5227) and neighbour discovery (RFC 4861). Pure."""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

ETH_ARP: Final = 0x0806
ETH_IPV6: Final = 0x86DD
BROADCAST: Final = b"\xff" * 6
ICMP6: Final = 58
SOLICIT: Final = 135
ADVERTISE: Final = 136
OVERRIDE: Final = 0x20000000
ALL_NODES: Final = IPv6Address("ff02::1")
_ARP: Final = struct.Struct("!HHBBH6s4s6s4s")
_IPV6_BYTES: Final = 40
_BPF: Final = struct.Struct("HBBI")
"""One instruction as the kernel wants it (linux/filter.h), in the machine's byte order."""
_LOAD_WORD, _LOAD_BYTE, _JUMP_EQUAL, _RETURN = 0x20, 0x30, 0x15, 0x06


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody says an address is at a hardware address."""

    address: IPv4Address | IPv6Address
    mac: bytes


def announcement(address: IPv4Address | IPv6Address, mac: bytes) -> bytes:
    """Tell everybody that the address is at ``mac`` now (gratuitous ARP; unsolicited neighbour advertisement)."""
    if isinstance(address, IPv4Address):
        return _arp(1, mac, address, b"\0" * 6, address)
    option = struct.pack("!BB6s", 2, 1, mac)
    body = struct.pack("!I16s", OVERRIDE, address.packed) + option
    return _neighbour(mac, address, ALL_NODES, ADVERTISE, body)


def question(address: IPv4Address | IPv6Address, mac: bytes) -> bytes:
    """Ask whether anybody has the address, without claiming it (ARP probe; duplicate address detection)."""
    if isinstance(address, IPv4Address):
        return _arp(1, mac, IPv4Address(0), b"\0" * 6, address)
    group = IPv6Address(int(IPv6Address("ff02::1:ff00:0")) | (int(address) & 0xFFFFFF))
    return _neighbour(mac, IPv6Address(0), group, SOLICIT, struct.pack("!I16s", 0, address.packed))


def claim_filter(address: IPv4Address | IPv6Address) -> bytes:
    """Give the program (classic BPF) that lets only claims of the address through: a busy link must not wake us.

    ARP: the sender's address; neighbour discovery: ICMPv6 of type advertisement, its target.
    """
    if isinstance(address, IPv4Address):
        wanted = [(_LOAD_WORD, 28, int(address))]
    else:
        words = struct.unpack("!4I", address.packed)
        wanted = [(_LOAD_BYTE, 20, ICMP6), (_LOAD_BYTE, 54, ADVERTISE)]
        wanted += [(_LOAD_WORD, 62 + 4 * number, word) for number, word in enumerate(words)]
    program = b""
    for number, (load, at, value) in enumerate(wanted):
        unlike = 2 * (len(wanted) - number) - 1  # over the rest and the acceptance, to the refusal
        program += _BPF.pack(load, 0, 0, at) + _BPF.pack(_JUMP_EQUAL, 0, unlike, value)
    return program + _BPF.pack(_RETURN, 0, 0, 0xFFFF) + _BPF.pack(_RETURN, 0, 0, 0)


def claim_of(frame: bytes) -> Claim | None:
    """Read a frame that claims an address; None for anything else, however broken."""
    kind = int.from_bytes(frame[12:14], "big")
    if kind == ETH_ARP and len(frame) >= 14 + _ARP.size:
        fields = _ARP.unpack_from(frame, 14)
        sender = IPv4Address(fields[6])
        if fields[:4] != (1, 0x0800, 6, 4) or sender == IPv4Address(0):
            return None
        return Claim(sender, fields[5])
    if kind == ETH_IPV6 and len(frame) >= 14 + _IPV6_BYTES + 24 and frame[20] == ICMP6:
        body = frame[14 + _IPV6_BYTES :]
        return Claim(IPv6Address(body[8:24]), frame[6:12]) if body[0] == ADVERTISE else None
    return None


def _arp(operation: int, mac: bytes, sender: IPv4Address, target_mac: bytes, target: IPv4Address) -> bytes:
    body = _ARP.pack(1, 0x0800, 6, 4, operation, mac, sender.packed, target_mac, target.packed)
    return BROADCAST + mac + struct.pack("!H", ETH_ARP) + body


def _neighbour(mac: bytes, source: IPv6Address, target: IPv6Address, kind: int, body: bytes) -> bytes:
    message = struct.pack("!BBH", kind, 0, 0) + body
    pseudo = source.packed + target.packed + struct.pack("!II", len(message), ICMP6)
    message = message[:2] + struct.pack("!H", _checksum(pseudo + message)) + message[4:]
    header = struct.pack("!IHBB16s16s", 6 << 28, len(message), ICMP6, 255, source.packed, target.packed)
    ethernet = b"\x33\x33" + target.packed[12:] + mac + struct.pack("!H", ETH_IPV6)
    return ethernet + header + message


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
