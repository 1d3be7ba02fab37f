"""Binds the listeners' sockets, one per process and port (SO_REUSEPORT), before any process needs them; empties them.

The core keeps every socket open for its whole life: connections queued on one survive the worker that served it. When
the last one who has a listening socket closes it, the kernel resets what is queued on it, though those clients are
connected. So before that newcomers are held back, and the queue is emptied (peers §4.18).
"""

import contextlib
import ctypes
import logging
import socket
import struct
from typing import Final

from node.intake.errors import ListenError
from node.settings.host import Listener

log = logging.getLogger(__name__)
BACKLOG: Final = 1024
"""Connections the kernel queues per socket; more are refused by it."""
_ATTACH_FILTER, _DETACH_FILTER = 26, 27
"""SO_ATTACH_FILTER and SO_DETACH_FILTER of asm-generic/socket.h; the standard library does not name them."""
_ALL_HOPS: Final = 255
_MINTTL, _MINHOPCOUNT = (socket.IPPROTO_IP, 21), (socket.IPPROTO_IPV6, 73)
"""IP_MINTTL (ip(7)) and IPV6_MINHOPCOUNT of linux/in6.h."""
_HOPS: Final = {int(socket.AF_INET): (_MINTTL,), int(socket.AF_INET6): (_MINHOPCOUNT, _MINTTL)}
_INFO_BYTES: Final = 104
_QUEUED_AT: Final = 24
"""Where struct tcp_info has ``tcpi_unacked``, which counts the queue of a listening socket (tcp(7), linux/tcp.h)."""
_NO_SYN: Final = (
    (0x30, 0, 0, 13),  # load the octet of the flags; a filter of a TCP socket sees the segment from its header on
    (0x54, 0, 0, 0x12),  # of them SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone, a first segment?
    (0x06, 0, 0, 0),  # drop it
    (0x06, 0, 0, 0xFFFFFFFF),  # else keep it all
)
"""Classic BPF (linux/filter.h): code, jump if true, jump if false, operand."""


def bind_listener(name: str, listener: Listener, processes: int) -> list[socket.socket]:
    """Bind and listen, once per process. Raises ListenError naming listener, address and port."""
    port = listener.port
    bound: list[socket.socket] = []
    try:
        for _ in range(processes):
            bound.append(_bind(listener, port, shared=processes > 1))
            port = bound[-1].getsockname()[1]  # port 0: the others share the first one's
    except OSError as error:
        for opened in bound:
            opened.close()
        place = f"{listener.address or '*'}:{port}"
        raise ListenError(f"listeners.{name}: cannot listen on {place}: {error.strerror or error}") from error
    return bound


def _bind(listener: Listener, port: int, *, shared: bool) -> socket.socket:
    """IPv6 with IPv4 inside where no address is given; IPv4 alone where the host has no IPv6."""
    if listener.address is not None:
        family = socket.AF_INET6 if listener.address.version == 6 else socket.AF_INET  # noqa: PLR2004 - IPv6
        return _listen(family, str(listener.address), port, shared=shared)
    try:
        return _listen(socket.AF_INET6, "::", port, shared=shared)
    except OSError:
        return _listen(socket.AF_INET, "0.0.0.0", port, shared=shared)  # noqa: S104 - every address is asked for


def _listen(family: socket.AddressFamily, address: str, port: int, *, shared: bool) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address != "::"))
        opened.bind((address, port))
        opened.listen(BACKLOG)
        opened.setblocking(False)
    except OSError:
        opened.close()
        raise
    return opened


def hold_back(listening: socket.socket) -> bool:
    """Leave first segments of new connections unanswered: their kernels repeat them after 1 s, then 3 s (RFC 6298).

    Handshakes under way are completed. True: what is connected from now on has to be ``heard``. Some kernels give
    filters to CAP_NET_ADMIN alone: there segments that have passed a router or left with fewer than 255 hops are
    dropped instead (RFC 5082), which are all but those of a few devices on the same network.
    """
    try:
        _filter(listening)
    except OSError as error:
        if not _want_hops(listening, _ALL_HOPS):
            log.warning("newcomers cannot be held back: %s", error.strerror)
        return True
    return False


def may_filter() -> bool:
    """Whether this process is given filters, so that nobody it holds back has to be ``heard``; false if unsure."""
    try:
        with socket.socket() as tried:
            _filter(tried)
    except OSError:
        return False
    return True


def _filter(opened: socket.socket) -> None:
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _NO_SYN))
    program = struct.pack("HP", len(_NO_SYN), ctypes.addressof(code))
    opened.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)


def let_come(listening: socket.socket) -> None:
    """Answer new connections again."""
    with contextlib.suppress(OSError):  # none was attached
        listening.setsockopt(socket.SOL_SOCKET, _DETACH_FILTER, 0)
    hear(listening)


def hear(connected: socket.socket) -> None:
    """Take every segment of a connection: one made while newcomers were held back does as its listener did."""
    _want_hops(connected, 0)


def _want_hops(opened: socket.socket, hops: int) -> bool:
    done = False
    for level, option in _HOPS[opened.family]:
        with contextlib.suppress(OSError):
            opened.setsockopt(level, option, hops)
            done = True
    return done


def queued(listening: socket.socket) -> int:
    """Give how many connections the kernel has completed that nobody has accepted."""
    info = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    return int(struct.unpack_from("I", info, _QUEUED_AT)[0])
