"""Tells systemd how the service stands (sd_notify(3)); does nothing where nobody asked to be told."""

import os
import socket
from contextlib import suppress


def notify(state: str) -> None:
    """Send one state line such as ``READY=1`` to ``$NOTIFY_SOCKET``; never fails."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(state.encode(), address)
