"""Binds the listeners' sockets, one per process and port (SO_REUSEPORT), before any process needs them.

The core keeps every socket open for its whole life: connections queued on one survive the worker that served it.
"""

import socket
from typing import Final

from node.intake.errors import ListenError
from node.settings.host import Listener

BACKLOG: Final = 1024
"""Connections the kernel queues per socket; more are refused by it."""


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
